"""The report: one HTML file to look at, with players in step, figures, curves, and the best and worst frames.

page       the file, put together from template.html
reels      each video small enough to be in it, and the frames that are looked at closely
plots      curves as SVG
"""

from worker.evaluation.report.page import report_of_comparison, report_of_evaluation

__all__ = ["report_of_comparison", "report_of_evaluation"]

"""The networks that judge, rebuilt so that only checked weights are loaded: no library fetches or unpickles any.

checkpoint, device  how all of them get their weights, and where they run
syncnet, s3fd       lips and voice; the face detector of SyncNet's pipeline
inception           features of FID and KID
arcface             who it is
alexnet             features and heads of LPIPS
"""

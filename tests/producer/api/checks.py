"""What several tests of the API look at."""


def problem(answer, status, code):
    """The problem that an answer tells of, which is the one that was expected."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), (
        answer.text
    )
    said = answer.json()
    assert (said["status"], said["code"], said["type"]) == (status, code, f"urn:dubline:{code}"), said
    return said


def found(storage):
    """Keys of everything in the bucket."""
    return {each.key for each in storage.list("")}

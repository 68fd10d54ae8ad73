"""The HTTP API: `dubline api`. FastAPI lives here and nowhere else.

app         the whole of it, put together; server: the processes that serve it; cli: the commands `api` and `keys`
gate        who may come in, by what key, how often; keyring: the keys; rate: how often
jobs        one job: submitted, looked at, cancelled, retried; events: followed; media: its files
batches     many of them; rows: which, in which order; totals: what they came to
page        the files of the page at `/`, which are in producer/web; about: health, metrics, version, estimates; figures: what is counted
intake      a form's files stream into the store; forms: the form itself; bodies: other requests
submitting  rows become a batch by the same road as those of a CSV; repeats: and the same request is not done twice
desk, lookup what a route is given; whose job that is, and where it stands; services: what every request works with
answers     what is answered, as JSON; problems: what is answered where something is wrong
"""

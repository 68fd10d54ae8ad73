import json
from datetime import UTC, datetime

import redis

from contract import keys
from contract.broker import QUEUE
from contract.job import Job, Row, Source
from producer.feeder import WINDOW_MARGIN, Feeder
import pytest
import time, tracemalloc

def test_smoke(storage, ledger, app, settings):
    rows=[Row(id=f"r{i}",job=Job(video=Source(uri=f"s3://b/{i}"),audio=Source(uri="s3://b/a"))) for i in range(1000)]
    storage.put(keys.rows("b1"), b"".join(r.model_dump_json().encode()+b"\n" for r in rows))
    f=Feeder(storage,ledger,app,settings)
    for _ in range(3):
        t=time.time(); f.step(); print(time.time()-t)
    r=redis.Redis.from_url(settings.redis_url.get_secret_value())
    print(r.keys(settings.namespace+"*"), r.llen(f"{settings.namespace}:{QUEUE}\x06\x163"))

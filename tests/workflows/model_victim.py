"""Works on the due model upload and is killed with SIGKILL around the n-th call of one of the store's verbs.

Arguments: database URL, the verb, the number of the call, `before` or `after`. The bucket comes as JSON on standard
input.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta

from penstock.adapters.objects.s3 import Bucket, Capabilities, S3ObjectStore
from penstock.adapters.weights.examiner import ChildExaminer, ExaminerOptions
from penstock.domain.weights import ModelCheck
from penstock.sigv4 import Credentials
from penstock.telemetry import Log
from tests.support.model_house import Interrupting, open_model_house
from tests.support.stores import WallClock


def main(url: str, verb: str, number: str, moment: str) -> None:
    left = int(number)

    def step(name: str) -> None:
        nonlocal left
        left -= name == f"{moment} {verb}"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    told = json.load(sys.stdin)
    bucket = Bucket(**{**told, "credentials": Credentials(**told["credentials"])})
    store = S3ObjectStore(bucket, clock=WallClock(), capabilities=Capabilities(checks_crc64=True))
    examiner = ChildExaminer(Log("test", None), options=ExaminerOptions(children=1))
    with open_model_house(url, Interrupting(store, step), examiner, check=ModelCheck.OFF) as house:
        house.clock.advance(timedelta(hours=1))
        house.worker.drain()
    examiner.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

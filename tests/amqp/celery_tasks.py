"""The tasks of celery_test.py; the broker, a file to leave traces in and where results go come by the environment."""
import os
import time

from celery import Celery

app = Celery("tasks", broker=os.environ["AMQP_URL"], backend=os.environ.get("RESULTS", "rpc://"))
app.conf.update(task_acks_late=False, worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True,
                task_queue_max_priority=10, result_expires=60, broker_connection_timeout=5, worker_send_task_events=True,
                task_send_sent_event=True)


def trace(line):
    with open(os.environ["TRACE"], "a") as file:
        file.write(f"{time.time():.3f} {line}\n")


@app.task
def add(a, b):
    trace(f"add {a} {b}")
    return a + b


@app.task
def total(numbers):
    trace(f"total {numbers}")
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def flaky(self, until):
    trace(f"flaky {self.request.retries}")
    if self.request.retries < until:
        raise self.retry(countdown=0.2)
    return self.request.retries


@app.task
def slow(seconds, name):
    trace(f"begin {name}")
    time.sleep(seconds)
    trace(f"end {name}")
    return name


@app.task(acks_late=True, reject_on_worker_lost=True)
def late(seconds, name):
    trace(f"begin {name}")
    time.sleep(seconds)
    trace(f"end {name}")
    return name


@app.task
def hold():
    """Until the test says so."""
    trace("begin hold")
    while not os.path.exists(os.environ["TRACE"] + ".go"):
        time.sleep(0.02)


@app.task(ignore_result=True)
def note(name):
    trace(f"note {name}")

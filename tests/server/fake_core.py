"""A core whose jobs are ended by the test; its store is the real one, and nothing runs."""

import time

from geodl_lab.errors import AccessError
from geodl_lab.jobs import recipes
from geodl_lab.jobs.core import CoreOptions
from geodl_lab.jobs.database import Database
from geodl_lab.jobs.job import Job, Level, Message, State, new_id
from geodl_lab.jobs.store import Store, end, say


class StoreCore:
    """What faces ask of a core for jobs; `succeed` and `fail` end one."""

    def __init__(self, folder, **options):
        self.database = Database(f"sqlite:///{folder / 'jobs.sqlite'}")
        self.options, self.store = CoreOptions(folder, **options), Store(self.database)
        self.files, self.limit = {}, 100

    def submit(self, recipe, caller, *, request, priority=0, files=None):
        values = recipes.to_json(recipe)
        job = Job(new_id(), caller.owner, values, request, priority=priority, created=time.time())
        self.store.add(job, lane="device", admin=caller.admin, limit=self.limit)
        self.files[job.id] = files
        return job

    def job(self, id, caller):
        job = self.store.get(id)
        if job is None or not caller.may_see(job.owner):
            raise AccessError(f"there is no job {id}")
        return job

    def messages(self, job):
        return self.store.messages(job.id)

    def cancel(self, job):
        return self.store.cancel(job.id)

    def recipe(self, id):
        return recipes.from_json(self.store.get(id).recipe)

    def start(self, id):
        while self.store.get(id).state is State.PENDING:
            self.store.claim("device")

    def succeed(self, id, **results):
        self.start(id)
        self.database.write(lambda connection: end(connection, id, State.SUCCEEDED, results))

    def fail(self, id, text):
        def change(connection):
            end(connection, id, State.FAILED)
            say(connection, id, (Message(Level.ERROR, text, time.time()),))

        self.start(id)
        self.database.write(change)

"""Threads with a client's role each, as the crash test's loads have them. They end when the server does."""
import random
import threading
import traceback


class Clients:
    gone = ()  # what a role raises when the server has ended

    def __init__(self, ledger, seed):
        self.ledger, self.random = ledger, random.Random(seed)
        self.next_uid, self.lock, self.threads, self.stopping = 1, threading.Lock(), [], False

    def roles(self):
        """One for each thread."""
        raise NotImplementedError

    def act(self, role, server, rng, name):
        """Does what the role does, until the server ends or the load is stopped."""
        raise NotImplementedError

    def run(self, server):
        """Starts the threads; they end when the server does."""
        self.stopping, self.threads = False, []
        for number, role in enumerate(self.roles()):
            name, seed = f"{role.__name__} {number}", self.random.getrandbits(64)
            self.threads.append(threading.Thread(target=self.guarded, args=(role, server, name, seed)))
        for thread in self.threads:
            thread.start()

    def guarded(self, role, server, name, seed):
        try:
            self.act(role, server, random.Random(seed), name)
        except TimeoutError:
            self.ledger.violate("no reply", f"{name} waited too long for a reply")
        except self.gone:
            pass  # The server has ended, as it should.
        except Exception:  # A thread that stops unseen would test nothing.
            self.ledger.violate("test", f"{name} failed\n{traceback.format_exc()}")

    def join(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()

"""Refreshes logins as Home Assistant's OAuth2 helper does: aiohttp, a lock for each login, and a JSON store.

Home Assistant writes its store a second later and does not wait for the disk. Here each refresh is on the disk before it
counts, by a file that takes the old one's place, since a token that is lost is what this is about.

Reads lines of JSON from standard input: first {"url", "at_once", "path", "logins": [{"token", "refresh_token"}]}, then one
{"rounds": n, "accounts": [numbers]} for each measurement; answers each with {"seconds": s, "latencies": [s]}.
"""

import asyncio
import json
import os
import sys
import time

import aiohttp

HEADERS = {
    "accept": "application/json",
    "accept-language": "en",
    "x-cloud-lang": "en",
    "api-version": "6.8",
    "user-agent": "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)",
}


class Store:
    """All logins in one file, which is replaced as a whole."""

    def __init__(self, path, logins):
        self.path = path
        self.logins = logins
        self.lock = asyncio.Lock()

    def write(self):
        temporary = self.path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "data": {"entries": self.logins}}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        folder = os.open(os.path.dirname(self.path), os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    async def save(self):
        async with self.lock:
            await asyncio.get_running_loop().run_in_executor(None, self.write)


class Login:
    """One login, as a config entry is one."""

    def __init__(self, session, store, number, url):
        self.session = session
        self.store = store
        self.number = number
        self.url = url
        self.lock = asyncio.Lock()

    async def refresh(self):
        async with self.lock:
            held = self.store.logins[self.number]
            headers = HEADERS | {"x-auth-token": held["token"]}
            async with self.session.post(
                self.url, json={"refresh_token": held["refresh_token"]}, headers=headers
            ) as answer:
                answer.raise_for_status()
                body = await answer.json(content_type=None)
            fresh = body.get("datas") or body.get("data") or body["result"]
            self.store.logins[self.number] = {"token": fresh["token"], "refresh_token": fresh["refresh_token"]}
            await self.store.save()


async def measure(logins, at_once, accounts, rounds):
    room = asyncio.Semaphore(at_once)
    latencies = []

    async def one(number):
        async with room:
            began = time.perf_counter()
            await logins[number].refresh()
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    for _ in range(rounds):
        await asyncio.gather(*(one(number) for number in accounts))
    return {"seconds": time.perf_counter() - began, "latencies": latencies}


async def main():
    lines = iter(sys.stdin.readline, "")
    setup = json.loads(next(lines))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        store = Store(setup["path"], setup["logins"])
        logins = [Login(session, store, number, setup["url"]) for number in range(len(setup["logins"]))]
        for line in lines:
            wish = json.loads(line)
            answer = await measure(logins, setup["at_once"], wish["accounts"], wish["rounds"])
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())

"""Drives the page of a running demo in Chromium, as a person would, and prints as JSON what was seen.

On standard input: `web`, `key`, `akuvox`, `aqara` (addresses of the demo), `chromium` (a program), `shots` (a folder).
With `supervisor` (an address of this machine) instead of the key it looks through Home Assistant's ingress alone.
"""

import json
import pathlib
import re
import shutil
import socket
import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import expect, sync_playwright

AXE = (pathlib.Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
PREFIX = "/behind/a/proxy"
INGRESS = "/api/hassio_ingress/a-token"
# Home Assistant's own page, as far as an add-on sees it.
PANEL = f'<!doctype html><html lang="en"><title>Home Assistant</title><iframe src="{INGRESS}/" title="Latchkey" width="1000" height="800"></iframe>'
# That of the first family member in the simulated cloud.
PASSWORD = "simulated-password-0"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 900}


def call(method, url, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers or {}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
        return json.load(answer)


class Drive:
    def __init__(self, page, told):
        self.page, self.told = page, told
        self.violations, self.complaints, self.foreign = [], [], []
        page.on("console", lambda it: self.complaints.append(it.text) if it.type == "error" else None)
        page.on("pageerror", lambda it: self.complaints.append(str(it)))
        page.on("request", lambda it: None if it.url.startswith((told["web"], "data:")) else self.foreign.append(it.url))

    def card(self, name):
        return self.page.get_by_role("region", name=name, exact=True)

    def judge(self, what):
        """By axe, in light and in dark."""
        for scheme in ["light", "dark"]:
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            self.page.evaluate(AXE)
            for found in self.page.evaluate("() => axe.run()")["violations"]:
                targets = [node["target"] for node in found["nodes"]]
                self.violations.append(f"{what}, {scheme}: {found['id']}: {found['help']}: {targets}")
            self.shoot(f"{what}-{scheme}")
        self.page.emulate_media(color_scheme="light")

    def shoot(self, name):
        self.page.screenshot(path=f"{self.told['shots']}/{name}.png", full_page=True)

    def sign_in(self):
        form = self.page.locator("#sign-in")
        form.get_by_label("Key").fill("not-the-key")
        form.get_by_role("button", name="Sign in").click()
        expect(form.get_by_role("alert")).to_have_text("That is not the key.")
        # Such an answer is an error of the console, too.
        self.complaints.clear()
        expect(form.get_by_label("Key")).to_have_value("")
        self.judge("sign-in")
        form.get_by_label("Key").fill(self.told["key"])
        self.page.keyboard.press("Enter")
        expect(self.page.locator("#main")).to_be_focused()
        for name in ["Front door", "Home"]:
            expect(self.card(name).locator(".badge")).to_have_text("✓ Well")
        expect(self.page.get_by_text("Live", exact=True)).to_be_visible()

    def log_in_by_code(self, name, cloud):
        card = self.card(name)
        self.go(card, "By a code")
        card.get_by_role("button", name="Request a login code").click()
        expect(card.get_by_role("status")).to_contain_text("A code is on its way.")
        code = card.get_by_label("Login code")
        expect(code).to_be_focused()
        self.page.keyboard.type(call("GET", f"{cloud}/_sim/sms")["messages"][-1]["code"])
        self.page.keyboard.press("Enter")
        expect(card.get_by_role("status")).to_have_text("Signed in.")
        expect(code).to_have_value("")
        self.hears(f"{name}: signed in")

    def go(self, card, way):
        """Opens one of the ways to sign in, or finds it open."""
        place = card.locator(".way").filter(has=self.page.get_by_text(way, exact=True))
        if not place.is_visible():
            card.get_by_text("Sign in, tokens, forget").click()
        if place.get_attribute("open") is None:
            place.locator("summary").click()
        return place

    def log_in_by_password(self):
        """A wrong one is refused with what to do, and the right one signs in."""
        card = self.card("Front door")
        way = self.go(card, "By a family member's password")
        for password, said in [("wrong", re.compile("^Not done: ")), (PASSWORD, "Signed in.")]:
            way.get_by_label("Password").fill(password)
            way.get_by_role("button", name="Sign in by the password").click()
            expect(card.get_by_role("status")).to_have_text(said)
            expect(way.get_by_label("Password")).to_have_value("")
        # A refusal is an error of the console, too.
        self.complaints.clear()

    def hears(self, text):
        expect(self.page.get_by_role("log").get_by_text(text).first).to_be_visible()

    def act(self):
        front, home = self.card("Front door"), self.card("Home")
        expect(front.get_by_text(" left of ")).to_be_visible()
        # Latchkey renews at most once a second here.
        renew = front.get_by_role("button", name="Renew now")
        expect(front.get_by_role("status")).not_to_have_text("Working …")
        renew.click()
        expect(front.get_by_role("status")).to_have_text(re.compile("Renewed.|Not done: it was refreshed a moment ago"))
        home.get_by_role("button", name="Tv warning").click()
        expect(home.get_by_role("status")).to_have_text("“Tv warning” was run.")
        front.get_by_role("button", name="Open Gate").click()
        self.page.get_by_role("dialog").get_by_role("button", name="Leave it").click()
        front.get_by_role("button", name="Open Gate").click()
        self.judge("dialog")
        self.page.get_by_role("dialog").get_by_role("button", name="Open it").click()
        expect(front.get_by_role("status")).to_have_text("Gate was opened.")

    def bury_and_revive(self):
        home = self.card("Home")
        call("POST", f"{self.told['aqara']}/_sim/revoke", {"what": "grant", "account": 0})
        # Somebody else's request: the page hears of it all the same.
        try:
            call("POST", f"{self.told['web']}v1/accounts/home/refresh", {}, {"X-Latchkey-Key": self.told["key"]})
        except urllib.error.HTTPError:
            pass
        expect(home.locator(".badge")).to_have_text("! Sign in again")
        self.hears("Home: somebody has to sign in again")
        sentence = home.locator(".sentence").inner_text()
        self.judge("dead")
        home.get_by_role("button", name="Renew now").click()
        expect(home.get_by_role("status")).to_contain_text("Not done: ")
        self.complaints.clear()
        self.log_in_by_code("Home", self.told["aqara"])
        expect(home.locator(".badge")).to_have_text("✓ Well")
        return sentence

    def paste(self):
        """Tokens that the vendor refuses change nothing, and are nowhere on the page afterwards."""
        home = self.card("Home")
        self.go(home, "Paste tokens")
        home.get_by_label("Refresh token").fill("0123456789abcdef0123456789abcdef")
        home.get_by_role("button", name="Use these tokens").click()
        expect(home.get_by_role("status")).to_contain_text("Not done: ")
        self.complaints.clear()
        expect(home.get_by_label("Refresh token")).to_have_value("")
        expect(home.locator(".badge")).to_have_text("✓ Well")

    def forget_and_undo(self):
        home = self.card("Home")
        self.judge("tokens-refused")
        self.go(home, "Forget")
        home.get_by_role("button", name="Forget this login").click()
        self.page.get_by_role("dialog").get_by_role("button", name="Forget it").click()
        expect(home.get_by_role("status")).to_contain_text("Forgotten. It can be brought back until")
        expect(home.locator(".badge")).to_have_text("! Not signed in")
        undo = home.get_by_role("button", name="Undo: bring back what was forgotten")
        expect(undo).to_be_focused()
        self.judge("forgotten")
        self.page.keyboard.press("Enter")
        expect(home.get_by_role("status")).to_have_text("Brought back.")
        expect(home.locator(".badge")).to_have_text("✓ Well")

    def is_wider_than_a_phone(self):
        self.page.set_viewport_size(PHONE)
        self.judge("phone")
        width = self.page.evaluate("() => document.documentElement.scrollWidth")
        self.page.set_viewport_size(DESKTOP)
        return PHONE["width"] < width

    def look_for_secrets(self):
        held = [self.told["key"]]
        for cloud in ["akuvox", "aqara"]:
            held += re.findall(r'"[a-z_]*token": ?"([^"]+)"', json.dumps(call("GET", f"{self.told[cloud]}/_sim/state")))
        assert 3 < len(held), held
        text = self.page.content() + self.page.evaluate(
            "() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)"
            " + [...document.querySelectorAll('input')].map(it => it.value).join()"
        )
        return [it for it in held if it in text]

    def sign_out(self):
        """In another tab, which this one notices."""
        other = self.page.context.new_page()
        other.goto(self.told["web"])
        other.get_by_role("button", name="Sign out").click()
        expect(other.locator("#sign-in").get_by_label("Key")).to_be_focused()
        other.close()
        expect(self.page.locator("#sign-in").get_by_label("Key")).to_be_focused()
        self.page.reload()
        expect(self.page.locator("#sign-in")).to_be_visible()
        self.complaints.clear()

    def go_by_keyboard(self):
        """The way that Tab takes from the top of the page."""
        self.page.reload()
        expect(self.card("Front door").locator(".badge")).to_be_visible()
        # What happened before the page was opened.
        self.hears("Front door: renewed")
        way = []
        for _ in range(4):
            self.page.keyboard.press("Tab")
            way.append(self.page.evaluate("() => document.activeElement.textContent.trim()"))
        return way


def behind_a_proxy(web, prefix=PREFIX, supervisor=None):
    """A reverse proxy that takes `prefix` off, one request a connection. Gives its port.

    With `supervisor` it is Home Assistant: it asks from that address, says where it shows us, and has a page around us.
    """
    there = urlsplit(web)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def serve(client):
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return client.close()
            head += data
        if supervisor and f" {prefix}/".encode() not in head:
            client.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n{PANEL}".encode())
            return client.close()
        head = head.replace(f" {prefix}/".encode(), b" /", 1)
        more = f"\r\nX-Ingress-Path: {prefix}" if supervisor else ""
        head = re.sub(rb"(?i)\r\nconnection: [^\r]*", f"\r\nConnection: close{more}".encode(), head)
        server = socket.create_connection((there.hostname, there.port), source_address=(supervisor or "", 0))
        server.sendall(head)
        threading.Thread(target=pump, args=(client, server), daemon=True).start()
        pump(server, client)

    def listen():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    return listener.getsockname()[1]


def look_through_home_assistant(browser, told):
    """Whoever is signed in there finds the page in its panel, without the key, and can act on it."""
    page = browser.new_context(viewport=DESKTOP).new_page()
    page.set_default_timeout(30_000)
    page.goto(f"http://homeassistant.local:{behind_a_proxy(told['web'], INGRESS, told['supervisor'])}/")
    panel = page.frame_locator("iframe")
    home = panel.get_by_role("region", name="home", exact=True)
    expect(home.locator(".badge")).to_have_text("✓ Well")
    expect(panel.get_by_text("Live", exact=True)).to_be_visible()
    expect(panel.get_by_role("button", name="Sign out")).to_be_hidden()
    home.get_by_role("button", name="Tv warning").click()
    expect(home.get_by_role("status")).to_have_text("“Tv warning” was run.")
    home.get_by_role("button", name="Renew now").click()
    expect(home.get_by_role("status")).to_have_text("Renewed.")
    expect(panel.get_by_role("log").get_by_text("home: renewed, on request")).to_be_visible()
    page.screenshot(path=f"{told['shots']}/home-assistant.png")
    return {"acted": True}


def go_through_everything(browser, told):
    seen = {}
    page = browser.new_context(viewport=DESKTOP, locale="en-GB").new_page()
    page.set_default_timeout(30_000)
    drive = Drive(page, told)
    page.goto(told["web"])
    drive.sign_in()
    seen["keyboard"] = drive.go_by_keyboard()
    drive.judge("accounts")
    drive.log_in_by_code("Front door", told["akuvox"])
    drive.log_in_by_password()
    drive.act()
    seen["dead"] = drive.bury_and_revive()
    drive.paste()
    drive.forget_and_undo()
    seen["overflows"] = drive.is_wider_than_a_phone()
    seen["secrets"] = len(drive.look_for_secrets())
    drive.sign_out()
    seen.update(violations=drive.violations, complaints=drive.complaints, foreign=drive.foreign)

    proxied = browser.new_context(viewport=DESKTOP).new_page()
    proxied.goto(f"http://127.0.0.1:{behind_a_proxy(told['web'])}{PREFIX}/")
    drive = Drive(proxied, {**told, "web": proxied.url})
    drive.sign_in()
    drive.card("Home").get_by_role("button", name="Tv warning").click()
    expect(drive.card("Home").get_by_role("status")).to_have_text("“Tv warning” was run.")
    seen["foreign_behind_a_proxy"] = drive.foreign
    return seen


def main():
    told = json.load(sys.stdin)
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--no-proxy-server", "--host-resolver-rules=MAP homeassistant.local 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=shutil.which(told["chromium"]), args=args)
        expect.set_options(timeout=30_000)
        look = look_through_home_assistant if "supervisor" in told else go_through_everything
        seen = look(browser, told)
        browser.close()
    json.dump(seen, sys.stdout)


main()

#!/usr/bin/env python3
"""The platform that template.c publishes to, small enough to run beside it: python3 platform.py PORT.

Any API key of three letters or more is an account, named like the key.  It keeps everything in memory; GET /posts shows
what was published.  A text with "[lose]" is published and its answer is lost, once: that is how LOST is tried.
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

posts, media, lost = [], [], set()


class Platform(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, code, message):
        self.answer(status, {'error': {'code': code, 'message': message}})

    def account(self):
        key = self.headers.get('Authorization', '').removeprefix('Bearer ')
        return key if len(key) >= 3 else None

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path == '/posts':
            return self.answer(200, {'posts': posts})
        if not self.account():
            return self.refuse(401, 'key_invalid', 'No account has this key.')
        if url.path == '/v1/me':
            return self.answer(200, {'id': 'acct-' + self.account(), 'username': self.account()})
        if url.path == '/v1/posts':
            key = parse_qs(url.query).get('key', [''])[0]
            return self.answer(200, {'posts': [p for p in posts if p['key'] == key]})
        return self.refuse(404, 'not_found', 'There is nothing here.')

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if not self.account():
            return self.refuse(401, 'key_invalid', 'No account has this key.')
        if self.path == '/v1/media':
            media.append(len(body))
            return self.answer(201, {'id': 'm%d' % len(media)})
        if self.path == '/v1/posts':
            return self.publish(json.loads(body))
        return self.refuse(404, 'not_found', 'There is nothing here.')

    def publish(self, given):
        key = self.headers.get('Idempotency-Key', '')
        known = [p for p in posts if p['key'] == key and p['account'] == self.account()]
        if '[refuse]' in given['text']:
            return self.refuse(422, 'policy', 'The platform does not want this text.')
        if not known:
            n = len(posts) + 1
            known = [{'id': str(n), 'url': 'https://example.com/%d' % n, 'key': key, 'account': self.account(), 'text': given['text'],
                      'reply_to': given.get('reply_to'), 'media': given.get('media', [])}]
            posts.extend(known)
        if '[lose]' in given['text'] and key not in lost:
            lost.add(key)
            self.close_connection = True
            return None
        return self.answer(201, known[0])

    def do_DELETE(self):
        number = self.path.rsplit('/', 1)[-1]
        posts[:] = [p for p in posts if p['id'] != number]
        self.answer(200, {})

    def log_message(self, *words):
        pass


ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Platform).serve_forever()

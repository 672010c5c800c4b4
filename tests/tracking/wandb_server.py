"""As much of a W&B server as a fit and ``wandb sync`` talk to: it keeps what runs are sent, by their ids."""

import gzip
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Server:
    """``with Server() as server``: ``history``, ``summaries`` as they were sent, ``configs`` and ``files`` by the run's
    id; ``die`` ends it at once."""

    def __init__(self) -> None:
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.summaries: dict[str, dict[str, Any]] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, set[str]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                answer = json.dumps(server.answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_PUT = do_GET = do_POST  # noqa: N815 - named after the methods of HTTP

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "Server":
        Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.die()

    def die(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if streamed := re.fullmatch(r"/files/\w*/?[\w-]+/(\w+)/file_stream", path):
            files = json.loads(body).get("files", {})
            for line in files.get("wandb-summary.json", {}).get("content", []):
                self.summaries[streamed[1]] = json.loads(line)
            sent = files.get("wandb-history.jsonl", {})
            for place, line in enumerate(sent.get("content", []), sent.get("offset", 0)):
                self.history.setdefault(streamed[1], {})[place] = json.loads(line)
        elif path == "/graphql":
            query = json.loads(body)
            found = re.search(r"(?:query|mutation)\s+(\w+)", query["query"])
            name, given = found and found[1], query.get("variables") or {}
            if known := getattr(self, f"_{name}", None):
                return {"data": known(**given)}
            return {"data": None, "errors": [{"message": f"no {name} here", "path": [name]}]}
        return {}

    def _Viewer(self, **_: Any) -> dict[str, Any]:  # noqa: N802 - named after the query
        return {"viewer": {"id": "1", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}

    def _UpsertBucket(self, name: str, project: str, config: str, **_: Any) -> dict[str, Any]:  # noqa: N802
        new = name not in self.configs
        if config:
            self.configs[name] = json.loads(config)
        place = {"id": project, "name": project, "entity": {"id": "me", "name": "me"}}
        bucket = {"id": name, "name": name, "displayName": name, "config": config, "project": place}
        count = len(self.history.get(name, {}))
        return {"upsertBucket": {"bucket": {**bucket, "historyLineCount": count}, "inserted": new}}

    def _RunResumeStatus(self, name: str, **_: Any) -> dict[str, Any]:  # noqa: N802
        known = self.history.get(name, {})
        last = known[max(known)] if known else {}
        bucket = {
            "id": name,
            "name": name,
            "displayName": name,
            "summaryMetrics": json.dumps(self.summaries.get(name, {})),
            "logLineCount": 0,
            "historyLineCount": len(known),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(last)] if known else []),
            "eventsTail": "[]",
            "config": json.dumps(self.configs.get(name, {})),
            "tags": [],
            "wandbConfig": '{"t": 1}',
        }
        model = {"id": "p", "name": "p", "entity": {"id": "me", "name": "me"}}
        return {"model": {**model, "bucket": bucket if name in self.configs else None}}

    def _CreateRunFiles(self, run: str, files: list[str], **_: Any) -> dict[str, Any]:  # noqa: N802
        self.files.setdefault(run, set()).update(files)
        places = [{"name": name, "uploadUrl": f"{self.url}/upload/{run}/{name}"} for name in files]
        return {"createRunFiles": {"runID": run, "uploadHeaders": [], "files": places}}

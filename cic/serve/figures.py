"""What the server counts, in the text form of Prometheus."""

from collections import Counter

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Figures:
    """Requests by route and status, how long photos took, and bytes of them."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.buckets: Counter[float] = Counter()
        self.count, self.seconds = 0, 0.0

    def request(self, route: str, status: int) -> None:
        """Count an answer; `route` is one of few, whatever was asked for."""
        self.requests[route, status] += 1

    def photo(self, seconds: float) -> None:
        """Count a photo that was coloured, from its last byte to the answer."""
        self.count += 1
        self.seconds += seconds
        self.buckets[next((most for most in BUCKETS if seconds <= most), float("inf"))] += 1

    def text(self, **gauges: float) -> str:
        """Return all of them, and `gauges` as they are now."""
        lines = ["# TYPE cic_requests_total counter"]
        lines += [
            f'cic_requests_total{{route="{route}",status="{status}"}} {count}'
            for (route, status), count in sorted(self.requests.items())
        ]
        lines.append("# TYPE cic_photo_seconds histogram")
        total = 0
        for most in BUCKETS:
            total += self.buckets[most]
            lines.append(f'cic_photo_seconds_bucket{{le="{most:g}"}} {total}')
        lines.append(f'cic_photo_seconds_bucket{{le="+Inf"}} {self.count}')
        lines += [
            f"cic_photo_seconds_sum {self.seconds:.3f}",
            f"cic_photo_seconds_count {self.count}",
        ]
        for name, value in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE cic_{name} {kind}", f"cic_{name} {value:g}"]
        return "\n".join(lines) + "\n"

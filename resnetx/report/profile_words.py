"""A profile in sentences: how much of a run its layers explain, and the limits that they were compared with."""

from resnetx.base.text import printable
from resnetx.benchmark.profiling.figures import known_peaks
from resnetx.benchmark.profiling.result import Profile


def title_of(profile: Profile) -> str:
    threads = f"{profile.threads} thread{'' if profile.threads == 1 else 's'}"
    return f"{profile.model} on {profile.provider}, batch {profile.batch}, {profile.effective_precision}, {threads}"


def sum_in_words(profile: Profile) -> str:
    """What the layers sum to beside a whole run, and what profiling itself costs."""
    outside, cost = profile.outside_ms, profile.profiled_run_ms - profile.run_ms
    begin = f"The layers sum to {in_ms(profile.layers_ms)}, and a run without profiling takes {in_ms(profile.run_ms)}"
    share = f"{in_ms(abs(outside))} ({abs(outside) / profile.run_ms:.1%})"
    if outside >= 0:
        explained = f"{begin}: {share} lie outside the layers."
    else:
        explained = f"{begin}: with profiling, the layers alone took {share} more than that."
    costs = f"Profiling itself costs {in_ms(cost)} a run." if cost > 0 else "What profiling costs is below the noise."
    return f"{explained} {costs}"


def limits_in_words(profile: Profile) -> str | None:
    """The measured limits that a layer was compared with."""
    peaks = [
        f"{number(peak)} {'GOP/s' if name == 'int8' else 'GFLOP/s'} in {name}" for name, peak in known_peaks(profile)
    ]
    if profile.limits is not None and profile.limits.bandwidth_gb_s:
        peaks.append(f"{number(profile.limits.bandwidth_gb_s)} GB/s of memory")
    return f"Measured limits: {', '.join(map(printable, peaks))}." if peaks else None


def in_ms(value: float) -> str:
    return f"{number(value)} ms"


def number(value: float) -> str:
    """Three significant figures, without an exponent; all of those before the point."""
    if abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-3 else f"{value:.4f}"

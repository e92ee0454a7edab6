"""What a run reached of a peak of the machine; what is faster than the measured peak has no share of it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PeakShare:
    """`share` is None if a rate is unknown, or if what ran is `faster` than the measured peak, which then isn't one."""

    share: float | None = None
    faster: bool = False


def share_of_peak(reached: float | None, peak: float | None) -> PeakShare:
    """Both in the same unit."""
    share = reached / peak if reached is not None and peak else None
    return PeakShare(faster=True) if share is not None and share > 1 else PeakShare(share=share)


def faster_in_words(precision: str, peak_gflops: float, where: str) -> str:
    """Why a case has no share of the peak of its precision, which was measured `where`."""
    return (
        f"It was faster than the {precision} peak that was measured {where}, {peak_gflops:.4g} "
        f"{'GOP/s' if precision == 'int8' else 'GFLOP/s'}, so no share of it is given: that measurement was disturbed, "
        "or the kernels do with fewer operations than the layers have."
    )

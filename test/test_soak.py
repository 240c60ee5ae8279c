"""The rule by which the soak judges what it has sampled; nothing is run here."""

import pytest

from benchmarks.soak import Sample, faults

LEVEL = Sample(threads=1, descriptors=9, rss_mb=20.0)


def soaked(*, late: Sample = LEVEL, early: Sample = LEVEL) -> list[Sample]:
    """Return the samples of a soak of a hundred seconds whose last fifth, or first, is another."""
    return [early] * 20 + [LEVEL] * 60 + [late] * 20


def test_a_level_wrapper_passes() -> None:
    """A wrapper that takes the same all the time has no fault."""
    assert faults(soaked()) == []


def test_what_is_taken_while_warming_up_does_not_count() -> None:
    """The first fifth may show more threads, and fewer descriptors and less memory."""
    assert faults(soaked(early=Sample(4, 9, 20.0))) == []
    assert faults(soaked(early=Sample(1, 5, 10.0))) == []


def test_one_sample_with_a_second_thread_is_a_fault() -> None:
    """A thread that shows only once after the warming up fails the soak."""
    samples = soaked()
    samples[50] = LEVEL._replace(threads=2)

    assert faults(samples) == ["threads: 2 at once, 1 is allowed"]


@pytest.mark.parametrize(
    ("late", "fault"),
    [
        (
            LEVEL._replace(descriptors=10),
            "descriptors: 9 in the second fifth, 10 in the last",
        ),
        (
            LEVEL._replace(rss_mb=20.5),
            "RSS: 20.0 MB in the second fifth, 20.5 MB in the last",
        ),
    ],
)
def test_what_grows_is_a_fault(late: Sample, fault: str) -> None:
    """One descriptor that stays open, or memory that grows by more than 2 %, fails the soak."""
    assert faults(soaked(late=late)) == [fault]


def test_what_a_restart_takes_for_a_moment_is_no_growth() -> None:
    """Single samples with more descriptors or memory do not fail the soak."""
    samples = soaked()
    samples[90:95] = [Sample(1, 15, 30.0)] * 5

    assert faults(samples) == []


def test_too_few_samples_prove_nothing() -> None:
    """A soak of some seconds fails, because its fifths are too short to compare."""
    assert faults([LEVEL] * 19) == ["19 samples are too few; 20 are needed"]
    assert faults([LEVEL] * 20) == []

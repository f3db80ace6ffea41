import pytest

from allears.corpus.licences import canonical, checked, joined, understood
from allears.errors import ConfigError

SAID = {
    "CC BY 4.0": "CC-BY-4.0",
    "CC BY v4": "CC-BY-4.0",
    "cc-by-nc": "CC-BY-NC",
    "CC BY": "CC-BY",
    "cc_by_sa": "CC-BY-SA",
    "CC BY-ND": "CC-BY-ND",
    "CC BY-NC 4.0": "CC-BY-NC-4.0",
    "CC BY-SA-NC 4.0": "CC-BY-NC-SA-4.0",
    "CC BY\u2011NC\u2011ND 2.0": "CC-BY-NC-ND-2.0",
    "CC BY 3.0 IGO": "CC-BY-3.0-IGO",
    "Attribution 4.0 International": "CC-BY-4.0",
    "Attribution Noncommercial": "CC-BY-NC",
    "Creative Commons Attribution 4.0 International Public License (CC BY 4.0)": "CC-BY-4.0",
    "Creative Commons Attribution-NonCommercial-ShareAlike 3.0 Unported": "CC-BY-NC-SA-3.0",
    "https://creativecommons.org/licenses/by/4.0/": "CC-BY-4.0",
    "http://www.creativecommons.org/licenses/by-nc-sa/3.0/legalcode": "CC-BY-NC-SA-3.0",
    "https://creativecommons.org/licenses/by/3.0/us/deed.en": "CC-BY-3.0-US",
    "https://creativecommons.org/licenses/by-nd/3.0/ch/": "CC-BY-ND-3.0",
    "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)": "CC-BY-4.0",
    "CC0": "CC0-1.0",
    "Creative Commons Zero v1.0 Universal": "CC0-1.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "CC-PDM-1.0",
    "Public Domain Mark 1.0": "CC-PDM-1.0",
    "mit or cc0-1.0": "MIT OR CC0-1.0",
    # what says more is not understood; what it forbids holds
    "CC BY-NC 4.0, see readme": "CC-BY-NC",
    "CC BY 4.0 and CC BY-NC 4.0": "CC-BY-NC",
    "CC BY-NC 9.0": "CC-BY-NC",
    "CC BY-SA-ND 4.0": "CC-BY-SA-ND",
}


@pytest.mark.parametrize(("words", "licence"), SAID.items())
def test_creative_commons_is_understood_as_people_write_it(words: str, licence: str) -> None:
    assert understood(words) == licence


@pytest.mark.parametrize(
    "words",
    ["", "unknown", "my own terms", "public domain", "Creative Commons", "creativecommons.org", "Attribution", "by",
     "Apache 2.0", "((((", "by Ann of Durham, NC", "CC BY 9.0", "CC BY 3.0 4.0", "not CC BY 4.0", "CC BY 4.0 revoked",
     "CC BY 4.0, for research only", "CC BY 4.0 AND some MIT", "CC0 / CC BY 4.0"],
)  # fmt: skip
def test_what_is_not_sure_is_not_understood(words: str) -> None:
    assert understood(words) is None


def test_only_spdx_is_canonical() -> None:
    assert canonical("CC BY 4.0") is None
    assert canonical(understood("CC BY") or "") is None  # it has no address there


def test_a_typed_licence_may_be_written_so_too() -> None:
    assert checked("CC BY-NC 4.0", "ingest.licence") == "CC-BY-NC-4.0"
    with pytest.raises(ConfigError, match="LicenseRef-my-terms"):
        checked("my terms", "ingest.licence")
    assert joined("CC-BY", "CC0-1.0") == "CC-BY AND CC0-1.0"

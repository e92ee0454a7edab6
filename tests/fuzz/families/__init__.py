"""All families of cases, by name."""

from tests.fuzz.case import Family
from tests.fuzz.families import bombs, command_line, data_files, graphs, remote, weights

FAMILIES: dict[str, Family] = {
    name: family
    for module in (graphs, bombs, weights, data_files, command_line, remote)
    for name, family in module.FAMILIES.items()
}

"""Energy and cost of trainings, as a table of the report and in words."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from allears.process.energy import Cost
from allears.reporting.html import Column, table


def cost_table(trainings: Sequence[tuple[str, str, Cost | None]]) -> Markup:
    """Device-hours, energy and CO2e of each training (kind, name, cost), and of all."""
    rows = [
        {
            "training": kind,
            "run": name,
            "device": found.device if found else None,
            "hours": amount(found.device_hours) if found else "unknown",
            "energy": energy(found.energy_kwh if found else None),
            "co2e": emissions(found.co2e_kg if found else None),
            "how": found.how if found else "nothing was recorded",
        }
        for kind, name, found in trainings
    ]
    if not rows:
        return Markup()
    known = [found for _, _, found in trainings if found]
    all_known = all(found is not None and found.energy_kwh is not None for _, _, found in trainings)
    total = {
        "training": "all" if all_known else "all that is known",
        "hours": amount(sum(found.device_hours for found in known)),
        "energy": energy(sum(found.energy_kwh or 0 for found in known)),
        "co2e": emissions(sum(found.co2e_kg or 0 for found in known)),
    }
    columns = [
        Column(key="training", title="training"),
        Column(key="run", title="run", kind="code"),
        Column(key="device", title="device"),
        Column(key="hours", title="device-hours", kind="number", hint="hours × GPUs, or × machines without a GPU"),
        Column(key="energy", title="energy", kind="number"),
        Column(key="co2e", title="CO2e", kind="number"),
        Column(key="how", title="how it was obtained"),
    ]
    return table([*rows, total], columns, foot=True)


def cost_in_words(cost: Cost | None) -> str:
    """`0.12 device-hours (AMD EPYC), 1.4 Wh, 0.67 g CO2e: how it was measured`."""
    if cost is None:
        return "unknown"
    said = [f"{amount(cost.device_hours)} device-hours ({cost.device})"]
    said += [energy(cost.energy_kwh)] if cost.energy_kwh is not None else []
    said += [f"{emissions(cost.co2e_kg)} CO2e"] if cost.co2e_kg is not None else []
    return f"{', '.join(said)}: {cost.how}"


def energy(kwh: float | None) -> str:
    """Return energy in kWh, or in Wh where that reads better."""
    return "unknown" if kwh is None else f"{amount(kwh)} kWh" if kwh >= 0.1 else f"{amount(1000 * kwh)} Wh"


def emissions(kg: float | None) -> str:
    """Return CO2e in kg, or in g where that reads better."""
    return "unknown" if kg is None else f"{amount(kg)} kg" if kg >= 0.1 else f"{amount(1000 * kg)} g"


def amount(value: float) -> str:
    """Return a number with three digits that say something: what is estimated has no more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else f"{value:.6f}"

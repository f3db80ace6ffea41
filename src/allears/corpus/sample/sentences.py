"""The closed world that the sample's speakers talk about: twelve things in five languages, in sentences with slots.

The label of a clip is the thing that is named in it, in English whatever the language. In English they come in pairs
that are easily confused (pear and bear, boat and coat, house and mouse, lamp and lamb, cat and hat).
"""

from __future__ import annotations

import numpy as np

LABELS = ("apple", "pear", "bear", "boat", "coat", "house", "mouse", "lamp", "lamb", "cat", "hat", "key")
THINGS: dict[str, tuple[str, ...]] = {
    "en": LABELS,
    "de": ("Apfel", "Birne", "Bär", "Boot", "Mantel", "Haus", "Maus", "Lampe", "Lamm", "Katze", "Hut", "Schlüssel"),
    "es": (
        "manzana", "pera", "oso", "barco", "abrigo", "casa", "ratón", "lámpara", "cordero", "gato", "sombrero", "llave",
    ),
    "fr": (
        "pomme", "poire", "ours", "bateau", "manteau", "maison", "souris", "lampe", "agneau", "chat", "chapeau", "clé",
    ),
    "ru": (
        "яблоко", "груша", "медведь", "лодка", "пальто", "дом", "мышь", "лампа", "ягнёнок", "кошка", "шляпа", "ключ",
    ),
}  # fmt: skip
NUMBERS: dict[str, tuple[str, ...]] = {
    "en": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    "de": ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"),
    "es": ("uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez"),
    "fr": ("un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix"),
    "ru": ("один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять", "десять"),
}
COLOURS: dict[str, tuple[str, ...]] = {
    "en": ("red", "green", "blue", "yellow", "black", "white"),
    "de": ("rot", "grün", "blau", "gelb", "schwarz", "weiß"),
    "es": ("rojo", "verde", "azul", "amarillo", "negro", "blanco"),
    "fr": ("rouge", "vert", "bleu", "jaune", "noir", "blanc"),
    "ru": ("красный", "зелёный", "синий", "жёлтый", "чёрный", "белый"),
}
# from short to long; the last ones are long enough to be cut off noticeably
TEMPLATES: dict[str, tuple[str, ...]] = {
    "en": (
        "the {thing}", "{colour} {thing}", "one more {thing}", "please find the {thing}", "{thing} number {number}",
        "bring the {colour} {thing} to room {number}", "turn left and stop at the {thing} by door {number}",
    ),
    "de": (
        "{thing}", "noch einmal {thing}", "bitte suche {thing}", "{thing} Nummer {number}", "{thing} und {colour}",
        "die Farbe ist {colour} und das Wort ist {thing}", "gehe nach links und suche {thing} in Zimmer {number}",
    ),
    "es": (
        "{thing}", "otra vez {thing}", "busca {thing} por favor", "{thing} número {number}", "{thing} y {colour}",
        "el color es {colour} y la palabra es {thing}", "gira a la izquierda y busca {thing} en la sala {number}",
    ),
    "fr": (
        "{thing}", "encore {thing}", "cherche {thing} maintenant", "{thing} numéro {number}", "{thing} et {colour}",
        "la couleur est {colour} et le mot est {thing}", "tourne à gauche et cherche {thing} dans la salle {number}",
    ),
    "ru": (
        "{thing}", "ещё раз {thing}", "найди слово {thing}", "{thing} номер {number}", "{thing} и {colour}",
        "цвет {colour} а слово {thing}", "поверни налево и найди слово {thing} в комнате {number}",
    ),
}  # fmt: skip


def sentence(language: str, label: str, rng: np.random.Generator, *, long: bool = False) -> str:
    """A sentence of `language` that names the thing `label` once; `long`: of the longest kind."""
    templates = TEMPLATES[language]
    template = templates[-1] if long else templates[int(rng.integers(len(templates)))]
    return template.format(
        thing=THINGS[language][LABELS.index(label)],
        number=NUMBERS[language][int(rng.integers(len(NUMBERS[language])))],
        colour=COLOURS[language][int(rng.integers(len(COLOURS[language])))],
    )

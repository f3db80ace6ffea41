"""The datasheet of a corpus: what its tables say and what people answered; all else is unknown and says so."""

from __future__ import annotations

from allears.reporting.markdown import render_markdown
from allears.reporting.questions import NAME, SECTIONS
from allears.reporting.statements import CorpusFacts, statements


def datasheet(facts: CorpusFacts) -> str:
    """Markdown after Gebru et al. (CACM 2021, arXiv 1803.09010): seven sections, each question with its key."""
    said = statements(facts)
    sections = [
        (
            title,
            [
                {
                    "key": question.key,
                    "text": question.text,
                    "lines": said.get(question.key, []),
                    "answer": facts.answers.get(question.key, "").splitlines(),
                }
                for question in questions
            ],
        )
        for title, questions in SECTIONS.items()
    ]
    questions = [question for _, section in sections for question in section]
    values = {
        "corpus": facts.summary["corpus"],
        "version": facts.summary["version"][:12],
        "file": NAME,
        "sections": sections,
        "count": len(questions),
        "unknown": sum(not question["lines"] and not question["answer"] for question in questions),
    }
    return render_markdown("datasheet", values)

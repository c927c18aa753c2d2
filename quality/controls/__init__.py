"""Controls: totals that must add up at every hop, tie-outs and journals, and the Data Docs an auditor opens.

Here: control totals (`totals`), the Great Expectations suites over small tables (`suites`).
Not here: row rules (quality.rules, quality.verdicts). Great Expectations is imported where it is used: it takes
seconds.
"""

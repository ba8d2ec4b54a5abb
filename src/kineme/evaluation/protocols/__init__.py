"""One file per protocol: how the field scores an encoder.

The protocol's name is the file's name, its description the first line of its docstring. It defines

* ``Settings``: a dataclass of plain values, each of which can be set by name (``--set knn.k=1,20``);
* ``score(task, settings) -> {metric: score}``. A :class:`kineme.evaluation.task.Scores` may also tell what became of
  each test clip (its mean is the score): then the figure has an interval, two groups of runs are compared clip by clip,
  and predictions are written;

and, where they apply,

* ``is_stochastic(settings) -> bool``: whether the seed changes anything. Where it does not, a single seed is run,
  because a repeat is no measurement;
* ``baseline(settings) -> (form, settings)``: the form of hand-crafted features (``baselines.FORMS``; ``best``: the best
  of all) reported with the score, and the settings for it. Without this function the protocol has no baseline;
* ``rivals``: names of protocols by which hand-crafted features are scored beside this one, though nobody asked for it
  (``refuses(task) -> str`` says why one has to be left out);
* ``resolve(settings, task) -> settings``: puts in what follows from the kind of run and store, before scoring;
* ``picture(rows, path)``: draws its rows;
* ``higher_is_better(metric) -> bool | None``: True by default; None for a figure that is only reported.
"""

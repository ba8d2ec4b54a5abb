"""One file per protocol: how the field scores an encoder.

Its name is the file's name, its description the first line of its docstring, and
it defines

* ``Settings``: a dataclass of plain values, each of which can be set by name (``--set knn.k=1,20``);
* ``score(task, settings) -> {metric: score}``;

and, where they apply,

* ``seeded(settings) -> bool``: whether the seed changes anything. Where it does not, a single seed is run, because a
  repeat is no measurement;
* ``floor(settings) -> (form, settings)``: the form of hand-made features (``_floor.FORMS``) that stands beside, and the
  settings for it. Without this function the protocol has no floor;
* ``fill(settings, task) -> settings``: puts in what follows from the kind of run and store, before anything is scored;
* ``wants(metric) -> int``: 1 where more is better (the default), -1 where less is, 0 for a figure that only stands
  beside, about which nothing is said.
"""

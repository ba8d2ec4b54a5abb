// What can stand in the middle in place of the map.

import { state } from "./state.js";
import { keys, recording } from "./recording.js";
import { matrix } from "./matrix.js";
import { compare } from "./compare.js";

const there = (name) => () => state.store.views.includes(name);
export const VIEWS = {
  map: { title: "Map", there: () => true, show: null },
  recording: { title: "Recording", there: there("recording"), show: recording, keys },
  confusion: { title: "Confusion", there: there("confusion"), show: matrix },
  compare: { title: "Compare", there: there("compare"), show: compare },
};

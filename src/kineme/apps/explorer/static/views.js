// What can stand in the middle in place of the map.

export const VIEWS = {
  map: { title: "Map", there: () => true, show: null },
};

// plot_map.js: the map of a plot: a tap selects an object, the pointer names it.
(function () {
  "use strict";

  const names = JSON.parse(document.getElementById("map-names").textContent);

  function describePlace(place) {
    return names[place] || "";
  }

  function selectPlace(map, place) {
    map.select(place);
    document.querySelector('button[data-map="selection"]').disabled = false;
  }

  async function showMap() {
    const map = await window.geographer.createMap({ onTap: (place) => selectPlace(map, place), describe: describePlace });
  }

  showMap();
})();

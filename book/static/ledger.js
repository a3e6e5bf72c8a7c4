/* The filters of the claims ledger. Without this script the whole table stands on the page.

   What is chosen stands in the page's address (?paper=yeh2022&verdict=reproduced), so that a
   filtered view can be linked to, and is written there at each change. */
"use strict";

(() => {
  const form = document.querySelector("form.l2s-filter");
  const status = document.querySelector(".l2s-count");
  const table = document.querySelector("table.l2s-ledger");
  const selects = [...form.querySelectorAll("select")];
  const rows = [...table.querySelectorAll("tr[data-verdict]")];
  const verdicts = [...form.elements.verdict.options].map((option) => option.value).slice(1);

  function readAddress() {
    const query = new URLSearchParams(location.search);
    for (const select of selects) {
      const asked = query.get(select.name);
      const known = [...select.options].some((option) => option.value === asked);
      select.value = known ? asked : "";
    }
  }

  function writeAddress() {
    const address = new URL(location.href);
    for (const select of selects) {
      if (select.value) address.searchParams.set(select.name, select.value);
      else address.searchParams.delete(select.name);
    }
    history.replaceState(null, "", address);
  }

  function show() {
    const chosen = selects.filter((select) => select.value);
    const fits = (row) => chosen.every((select) => row.dataset[select.name] === select.value);
    for (const row of rows) row.hidden = !fits(row);
    for (const body of table.tBodies) {
      body.hidden = !body.querySelector("tr[data-verdict]:not([hidden])");
    }
    const shown = rows.filter((row) => !row.hidden);
    table.hidden = !shown.length;
    status.textContent = say(shown, chosen.length > 0);
  }

  function say(shown, filtered) {
    if (!shown.length) return "No claim fits all of these choices.";
    const counts = verdicts
      .map((verdict) => [shown.filter((row) => row.dataset.verdict === verdict).length, verdict])
      .filter(([number]) => number)
      .map(([number, verdict]) => `${number} ${verdict}`);
    const many = filtered ? `${shown.length} of ${rows.length}` : `${shown.length}`;
    return `${many} ${rows.length === 1 ? "claim" : "claims"}: ${counts.join(", ")}.`;
  }

  function change() {
    show();
    writeAddress();
  }

  form.addEventListener("change", change);
  form.querySelector("button").addEventListener("click", () => {
    for (const select of selects) select.value = "";
    change();
  });
  readAddress();
  show();
})();

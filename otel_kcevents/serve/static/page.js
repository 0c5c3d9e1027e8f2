const answer = await fetch("model/etl/coverage?window=7d");
const { data } = await answer.json();
document.querySelector("#verdict").textContent = JSON.stringify(data.rows.map((row) => [row.etl, row.operation, row.counts]));

// Puts the page together.

import { createCharts } from "./charts.js";
import { createChat } from "./chat.js";
import { loadClient } from "./client.js";
import { showCode } from "./code.js";
import { createNumbers } from "./numbers.js";
import { createSeries } from "./series.js";
import { createTransports } from "./transports.js";
import { createTrial } from "./trial.js";

const series = createSeries();
createTrial(series, showCode);
createCharts(series);
createTransports();
createNumbers();
createChat();
loadClient(document.body.dataset.client);

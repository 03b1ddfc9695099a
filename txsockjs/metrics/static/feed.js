// Asks for the numbers, again and again, and less often while there is no answer.

const PERIOD = 1000; // milliseconds from one answer to the next question
const LONGEST_PAUSE = 30000;
const DEADLINE = 8000;

async function ask() {
  const answer = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(DEADLINE) });
  if (!answer.ok) throw new Error(`It answers ${answer.status}.`);
  const { processes, transports } = await answer.json();
  if (![processes, transports].every(Array.isArray)) throw new Error("It answers with something else.");
  return { processes, transports };
}

function reason(error) {
  if (error.name === "TimeoutError") return "It does not answer in time.";
  return error instanceof TypeError ? "It cannot be reached." : error.message;
}

// Calls `received` with the facts of all processes and the names of all transports, or `failed` with a reason and the
// seconds until the next question.
export function createFeed(received, failed) {
  let timer = 0;
  let pause = PERIOD;
  let round = 0; // each stop ends what is under way

  async function turn() {
    const mine = round;
    let told = null;
    let why = "";
    try {
      told = await ask();
    } catch (error) {
      why = reason(error);
    }
    if (mine !== round) return;
    pause = told ? PERIOD : Math.min(LONGEST_PAUSE, pause * 2);
    timer = setTimeout(turn, pause); // first, so that the page goes on when something fails in what follows
    if (told) received(told);
    else failed(why, pause / 1000);
  }

  return {
    start() {
      pause = PERIOD;
      turn();
    },
    stop() {
      round += 1;
      clearTimeout(timer);
    },
  };
}

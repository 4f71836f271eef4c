// Run before the first paint, so that a dark page is never white first.
{
  const chosen = localStorage.getItem("autotrack.theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}

// Paper is white: while a page is printed, it wears its light colours.

{
  const root = document.documentElement;
  const paper = matchMedia("print"); // kept: a listener alone does not keep it alive
  let screen = null; // the colours of the page before
  const dress = () => {
    screen ??= root.dataset.theme;
    root.dataset.theme = "light";
  };
  const undress = () => {
    root.dataset.theme = screen ?? root.dataset.theme;
    screen = null;
  };
  addEventListener("beforeprint", dress);
  addEventListener("afterprint", undress);
  paper.addEventListener("change", () => (paper.matches ? dress() : undress()));
}

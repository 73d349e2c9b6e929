"""The recipes in docs/recipes, which guests of the sandbox run, and what the documentation shows of them."""

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
RECIPES = sorted((DOCS / "recipes" / "fsfreeze-hook.d").iterdir())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_the_page_shows_the_recipe_that_is_tested(recipe: Path) -> None:
    """The page has the file word for word, and the file can be executed, as the agent's hook demands."""
    assert f"```sh\n{recipe.read_text()}```" in (DOCS / "application-hooks.md").read_text()
    assert recipe.stat().st_mode & 0o111

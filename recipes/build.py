"""From the recipe, model and data sections to a Recipe."""

from recipes.catalogue_clip import CatalogueClip
from recipes.config import (
    CatalogueClipConfig,
    CatalogueDataConfig,
    DataConfig,
    ModelConfig,
    RecipeConfig,
    TargetConfig,
)
from recipes.custom import CustomRecipe
from recipes.errors import CombinationError
from recipes.protocol import Recipe


def build_recipe(recipe: RecipeConfig, model: ModelConfig, data: DataConfig) -> Recipe:
    """Return the recipe. Opens no data, builds no model and imports nothing of the user's.

    Raises CombinationError when the data section is of a kind that the recipe cannot train on.
    """
    if isinstance(recipe, CatalogueClipConfig):
        if isinstance(data, CatalogueDataConfig):
            return CatalogueClip(recipe, model, data)
        raise CombinationError(
            f"recipe=catalogue_clip with data._target_ = {data.target}: it trains on data.kind = catalogue only; "
            "use recipe=custom for data of your own"
        )
    if isinstance(data, TargetConfig):
        return CustomRecipe(recipe, model, data)
    raise CombinationError(
        f"recipe=custom with data.kind = {data.kind}: it trains on data of your own only; "
        "give data._target_, or use recipe=catalogue_clip"
    )

"""From the recipe, model and data sections to a Recipe."""

from recipes.catalogue_clip import CatalogueClip
from recipes.config import (
    CatalogueClipConfig,
    CatalogueDataConfig,
    CatalogueTextConfig,
    ClipModelConfig,
    DataConfig,
    LmLadderConfig,
    LmModelConfig,
    ModelConfig,
    RecipeConfig,
    TargetConfig,
)
from recipes.custom import CustomRecipe
from recipes.errors import CombinationError
from recipes.lm_ladder import LmLadder
from recipes.protocol import Recipe


def build_recipe(recipe: RecipeConfig, model: ModelConfig, data: DataConfig) -> Recipe:
    """Return the recipe. Opens no data, builds no model and imports nothing of the user's.

    Raises CombinationError when the model or data section is of a kind that the recipe cannot train (on).
    """
    if isinstance(recipe, CatalogueClipConfig):
        if not isinstance(data, CatalogueDataConfig):
            raise _wrong_data("catalogue_clip", data, "data.kind = catalogue")
        if isinstance(model, LmModelConfig):
            raise _wrong_model("catalogue_clip", model, "clip")
        return CatalogueClip(recipe, model, data)
    if isinstance(recipe, LmLadderConfig):
        if not isinstance(data, CatalogueTextConfig):
            raise _wrong_data("lm_ladder", data, "data.kind = catalogue_text")
        if isinstance(model, ClipModelConfig):
            raise _wrong_model("lm_ladder", model, "lm")
        if isinstance(model, LmModelConfig) and model.vocabulary != data.vocabulary:
            raise CombinationError(
                f"model.vocabulary = {model.vocabulary} with data.vocabulary = {data.vocabulary}: must be equal"
            )
        return LmLadder(recipe, model, data)
    if not isinstance(data, TargetConfig):
        raise _wrong_data("custom", data, "data of your own")
    return CustomRecipe(recipe, model, data)


def _wrong_data(recipe: str, data: DataConfig, wanted: str) -> CombinationError:
    if isinstance(data, TargetConfig):
        given, advice = f"data._target_ = {data.target}", "use recipe=custom for data of your own"
    else:
        fitting = "catalogue_clip" if isinstance(data, CatalogueDataConfig) else "lm_ladder"
        given, advice = f"data.kind = {data.kind}", f"use recipe={fitting} for such data"
        if recipe == "custom":
            advice = f"give data._target_, or use recipe={fitting}"
    return CombinationError(f"recipe={recipe} with {given}: it trains on {wanted} only; {advice}")


def _wrong_model(recipe: str, model: ClipModelConfig | LmModelConfig, wanted: str) -> CombinationError:
    return CombinationError(
        f"recipe={recipe} with model.kind = {model.kind}: it trains model.kind = {wanted} or a "
        "model._target_ of your own"
    )

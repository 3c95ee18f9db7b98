"""Methods that tell: results, recipes, configurations.

A bundle is recipe and configuration in one, loaded when the inspector starts. So preparing the
loaded recipe succeeds and does nothing, and no other can be prepared or activated from here:
another bundle is put into the configuration of the station, which then starts anew.
"""

from collections.abc import Sequence
from typing import Any, Final

from asyncua import ua

from vialsight.station.opcua.archive import Archive, RecordGone, Wanted
from vialsight.station.opcua.instance import CONFIGURATIONS, RECIPES, RESULTS, Instance
from vialsight.station.opcua.limits import Limits
from vialsight.station.opcua.methods import (
    MethodRefused,
    Methods,
    id_argument,
    number_argument,
    ok,
)
from vialsight.station.opcua.results import UNKNOWN, Recipe, Result, moment
from vialsight.station.opcua.view import View

_LATEST: Final = 2**31 - 1
_STRUCTURE: Final = ua.VariantType.ExtensionObject
# Answers are held nowhere: there is no handle to give back.
_NO_HANDLE: Final = ua.Variant(0, ua.VariantType.UInt32)


class ManagementMethods:
    """GetResult…, …Recipe…, …Configuration…."""

    def __init__(self, instance: Instance, view: View, archive: Archive, limits: Limits) -> None:
        self._vision, self._view = instance.vision, view
        self._archive, self._limits = archive, limits

    async def bind(self, methods: Methods) -> None:
        """Bind the methods to their nodes."""
        await methods.add(f"{RESULTS}.GetResultById", self._result)
        await methods.add(f"{RESULTS}.GetResultComponentsById", self._components)
        await methods.add(f"{RESULTS}.GetResultListFiltered", self._result_list)
        await methods.add(f"{RECIPES}.GetRecipeListFiltered", self._recipe_list)
        await methods.add(f"{RECIPES}.PrepareRecipe", self._prepare, acts=True)
        await methods.add(f"{RECIPES}.UnprepareRecipe", self._unprepare, acts=True)
        await methods.add(f"{CONFIGURATIONS}.GetConfigurationList", self._configuration_list)
        await methods.add(f"{CONFIGURATIONS}.GetConfigurationById", self._configuration)
        await methods.add(f"{CONFIGURATIONS}.ActivateConfiguration", self._activate, acts=True)

    async def _result(self, wanted: Any, timeout: Any) -> Sequence[ua.Variant]:
        result = await self._find(wanted)
        return ok(_NO_HANDLE, ua.Variant(result.structure(self._vision), _STRUCTURE))

    async def _components(self, wanted: Any, timeout: Any) -> Sequence[ua.Variant]:
        fields = (await self._find(wanted)).fields(self._vision)
        boolean = ua.VariantType.Boolean

        def part(name: str) -> ua.Variant:
            found = fields.get(name)
            return ua.Variant(None) if found is None else ua.Variant(found, _STRUCTURE)

        content = ua.Variant(fields["ResultContent"], ua.VariantType.Variant, is_array=True)
        return ok(
            ua.Variant(fields["HasTransferableDataOnFile"], boolean),
            _NO_HANDLE,
            ua.Variant(fields["IsPartial"], boolean),
            ua.Variant(fields["IsSimulated"], boolean),
            ua.Variant(fields["ResultState"], ua.VariantType.Int32),
            part("MeasId"),
            part("PartId"),
            part("ExternalRecipeId"),
            part("InternalRecipeId"),
            part("ProductId"),
            part("ExternalConfigurationId"),
            part("InternalConfigurationId"),
            part("JobId"),
            ua.Variant(fields["CreationTime"], ua.VariantType.DateTime),
            part("ProcessingTimes"),
            content,
        )

    async def _find(self, wanted: Any) -> Result:
        """Return a result from the record, or from the snapshot while the recorder lags behind."""
        if not id_argument(wanted):
            raise MethodRefused(ua.StatusCodes.BadInvalidArgument, "ResultId: expected one")
        seq = number_argument(wanted, "ResultId")
        gone: RecordGone | None = None
        try:
            result = await self._archive.result(seq) if seq < 2**63 else None
        except RecordGone as error:
            result, gone = None, error
        found = result or self._view.recent(seq)
        if found is None and gone is not None:
            raise gone
        if found is None:
            raise MethodRefused(ua.StatusCodes.BadNotFound, f"there is no result {seq}")
        return found

    async def _result_list(self, *given: Any) -> Sequence[ua.Variant]:
        state, meas, part, *ids, product, job, most, first, _ = given
        external_recipe, internal_recipe, external_configuration, internal_configuration = ids
        if id_argument(meas):
            raise MethodRefused(ua.StatusCodes.BadInvalidArgument, "MeasId: results have none")
        configuration = id_argument(internal_configuration) or id_argument(external_configuration)
        wanted = Wanted(
            batch=number_argument(job, "JobId") if id_argument(job) else None,
            strip_id=number_argument(part, "PartId") if id_argument(part) else None,
            state=int(state) or None,
            product=id_argument(product),
            recipe=id_argument(internal_recipe) or id_argument(external_recipe),
            configuration=configuration,
        )
        count = min(int(most) or self._limits.results, self._limits.results)
        found, complete = await self._archive.results(wanted, int(first), count)
        structures = [result.structure(self._vision) for result in found]
        return self._list(structures, complete)

    async def _recipe_list(self, *given: Any) -> Sequence[ua.Variant]:
        """Return bundles that ran here; TriState 0: not loaded, 1: loaded, 2: either."""
        external, product, prepared, most, first, _ = given
        chosen = [
            recipe
            for recipe, _ in await self._recipes()
            if id_argument(external) in ("", recipe.name)
            and int(prepared or 0) in (2, int(recipe == self._view.recipe))
        ]
        if id_argument(product):
            chosen = []  # recipes are not linked to products
        kept, complete = _page(chosen, most, first, self._limits.results)
        structures = [recipe.structure(self._vision, "RecipeIdInternalDataType") for recipe in kept]
        return self._list(structures, complete)

    async def _prepare(self, external: Any, internal: Any) -> Sequence[ua.Variant]:
        loaded = self._check_loaded(external, internal)
        made = loaded.structure(self._vision, "RecipeIdInternalDataType")
        return ok(ua.Variant(made, _STRUCTURE), ua.Variant(True, ua.VariantType.Boolean))

    async def _unprepare(self, external: Any, internal: Any) -> Sequence[ua.Variant]:
        loaded = self._check_loaded(external, internal)
        raise MethodRefused(
            ua.StatusCodes.BadNotSupported,
            f"{loaded.name!r} stays loaded as long as the inspector runs",
        )

    def _check_loaded(self, external: Any, internal: Any) -> Recipe:
        loaded = self._view.recipe
        if loaded == UNKNOWN:
            raise MethodRefused(ua.StatusCodes.BadInvalidState, "the inspector does not run")
        for given in (external, internal):
            digest = bytes(getattr(given, "Hash", None) or b"")
            named = id_argument(given) in ("", loaded.name)
            if not named or (digest and digest != loaded.digest):
                raise MethodRefused(
                    ua.StatusCodes.BadNotFound,
                    f"the inspector has {loaded.name!r} ({loaded.sha256[:16]}…), which another "
                    f"bundle in the station's configuration replaces; got {id_argument(given)!r}",
                )
        return loaded

    async def _configuration_list(
        self, most: Any, first: Any, timeout: Any
    ) -> Sequence[ua.Variant]:
        kept, complete = _page(await self._recipes(), most, first, self._limits.results)
        return self._list([self.configuration(*one) for one in kept], complete)

    async def _configuration(self, internal: Any, timeout: Any) -> Sequence[ua.Variant]:
        for recipe, since in await self._recipes():
            if recipe.configuration == id_argument(internal):
                made = self.configuration(recipe, since)
                return ok(_NO_HANDLE, ua.Variant(made, _STRUCTURE))
        raise MethodRefused(
            ua.StatusCodes.BadNotFound, f"there is no configuration {id_argument(internal)!r}"
        )

    async def _activate(self, internal: Any) -> Sequence[ua.Variant]:
        if id_argument(internal) == self._view.recipe.configuration:
            return ok()
        known = [recipe.configuration for recipe, _ in await self._recipes()]
        if id_argument(internal) not in known:
            raise MethodRefused(ua.StatusCodes.BadNotFound, "there is no such configuration")
        raise MethodRefused(
            ua.StatusCodes.BadNotSupported,
            "thresholds change by another bundle only, in the station's configuration",
        )

    def configuration(self, recipe: Recipe, since_ns: int) -> Any:
        """Return a bundle as ConfigurationDataType."""
        return self._vision.make(
            "ConfigurationDataType",
            HasTransferableDataOnFile=False,
            ExternalId=recipe.structure(self._vision, "ConfigurationIdDataType"),
            InternalId=recipe.structure(self._vision, "ConfigurationIdDataType"),
            LastModified=moment(since_ns),
        )

    async def _recipes(self) -> list[tuple[Recipe, int]]:
        """Return bundles that ran, the present one last; without a record that one alone."""
        loaded = (self._view.recipe, self._view.started_ns)
        try:
            found = await self._archive.recipes()
        except RecordGone:
            found = []
        others = [one for one in found if one[0] != loaded[0]]
        return others if loaded[0] == UNKNOWN else [*others, loaded]

    def _list(self, structures: list[Any], complete: bool) -> list[ua.Variant]:
        return ok(
            ua.Variant(complete, ua.VariantType.Boolean),
            ua.Variant(len(structures), ua.VariantType.UInt32),
            _NO_HANDLE,
            ua.Variant(structures, _STRUCTURE, is_array=True),
        )


def _page(found: list[Any], most: Any, first: Any, largest: int) -> tuple[list[Any], bool]:
    start, count = min(int(first), _LATEST), min(int(most) or largest, largest)
    return found[start : start + count], len(found) <= start + count

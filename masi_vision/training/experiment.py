"""One experiment: what is learned from which data, how. Read from a YAML file of `configs/training/`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from masi_vision.config import Fraction
from masi_vision.errors import SettingsError
from masi_vision.settings_file import Section, checked, read_yaml
from masi_vision.shipped import shipped_file

Positive = Annotated[float, Field(gt=0)]
Share = Fraction
Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]

NETWORKS = ("finder", "reader", "pigment")
OURS = "ours"


class ModelSettings(Section):
    """Which network, and what it starts from.

    Parameters
    ----------
    architecture : str
        ``ours``, or one of segmentation-models-pytorch, such as Unet or Segformer.
    encoder : str
        One of segmentation-models-pytorch; ``tu-...`` for those of timm.
    start : str
        ``models``: the network of the models that are trained on; ``none``; ``imagenet``: the encoder's
        filters as segmentation-models-pytorch fetches them, the only thing that is ever downloaded;
        ``face_reader``: the filters of the models' face reader, for the pigment map; ``previous``: the
        network of the experiment before this one in the same call; or a file .safetensors that an earlier
        run wrote.
    """

    architecture: Annotated[str, Field(pattern=r"^\w+$")]
    encoder: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    start: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _same_design(self) -> ModelSettings:
        if self.start == "models" and self.architecture != OURS:
            raise ValueError(
                "architecture: ours with start: models, since only the same design can take over its weights"
            )
        return self


class ScheduleSettings(Section):
    """How long and how fast to learn.

    Parameters
    ----------
    samples, epochs
        How many samples are drawn, or how often each photo on average; one of the two, the other null.
    batch, accumulate
        Samples of a batch, and batches of a step.
    peak_rate, warm_up, weight_decay
        Of AdamW; the rate rises within the share ``warm_up``, and from there on is what a cosine of the
        whole run, from ``peak_rate`` to a hundredth of it, has come to.
    average_steps
        Over so many steps the weights are averaged; the averaged ones are what is kept.
    validate_every : int
        Samples between two looks at the validation people.
    patience : int or None
        Stop after so many looks none of which was better than the start and all before; None goes on to the
        end.
    frozen_statistics : bool
        Leave the batch normalizations as the start has them: a few hundred photos tell little of their own.
    kept_of_start : float
        Share of the start's weights in the network that is kept: what is fitted to few people errs less when
        it stays halfway to what many taught (Wortsman et al., CVPR 2022, "Robust fine-tuning").
    """

    samples: Count | None
    epochs: Positive | None
    batch: Count
    accumulate: Count
    peak_rate: Positive
    warm_up: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Weight
    average_steps: Count
    validate_every: Count
    patience: Count | None
    frozen_statistics: bool
    kept_of_start: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _one_length(self) -> ScheduleSettings:
        if (self.samples is None) == (self.epochs is None):
            raise ValueError("either samples or epochs, and null for the other")
        return self

    def steps(self, photos: int) -> int:
        """How many steps that is with so many photos; at least one."""
        samples = self.samples if self.samples is not None else round((self.epochs or 0) * photos)
        return max(1, round(samples / (self.batch * self.accumulate)))


class ReaderAugmentation(Section):
    """How one photo becomes many for the face reader: how often each change is made, and how strong.

    Parameters
    ----------
    turned, turn_deg
        How often the head is turned further, and by how much at most.
    covered, mirrored
        How often something is in the way, and the sides are swapped.
    reshaped : float
        How often a face gets part of the shape of another one that is turned about as far.
    blended : float
        How often it gets part of the skin and hair of such a one.
    camera : float
        Strength of other light and other cameras; 1 is every camera, 0 this one alone.
    """

    turned: Share
    turn_deg: Annotated[float, Field(ge=0, le=60)]
    reshaped: Share
    blended: Share
    covered: Share
    mirrored: Share
    camera: Annotated[float, Field(ge=0, le=2)]


class FinderAugmentation(Section):
    """The same for the face finder.

    Parameters
    ----------
    no_face : float
        Share of pictures from which the face is taken away.
    """

    no_face: Share
    camera: Annotated[float, Field(ge=0, le=2)]


class PigmentAugmentation(Section):
    """The same for the pigment map.

    Parameters
    ----------
    planted : float
        How often melasma is planted on an annotated photo, beside what is there; on clear faces always.
    blended, distracted
        How often two faces are blended, and each distractor is laid on.
    distractor_strength : (float, float)
        Least and largest.
    darker : float
        Factor on the planted dL*.
    enlarged, sheets : float
        How often a melasma is up to three times as wide and high as usual, and how often it covers whole
        regions evenly.
    recombined : int
        With how many melasmas, distractors and cameras of its batch each face is photographed.
    one_occasion : float
        How often twins are photographed by one camera in one position; else each by its own.
    camera : float
    filed : float
        How often a picture goes through a JPEG file.
    magnified : (float, float)
        Fewest and most pixels of that file for one of the frame, on a side: how large the face is.
    """

    planted: Share
    blended: Share
    distracted: Share
    distractor_strength: tuple[Weight, Weight]
    darker: Positive
    enlarged: Share
    sheets: Share
    recombined: Annotated[int, Field(ge=1, le=16)]
    one_occasion: Share
    camera: Annotated[float, Field(ge=0, le=2)]
    filed: Share
    magnified: tuple[Positive, Positive]


class Loss(Section):
    """Weights of the terms of a loss; one at least is above 0, or nothing would be learned."""

    @model_validator(mode="after")
    def _of_something(self) -> Loss:
        if not any(self.model_dump(exclude={"huber_od"}).values()):
            raise ValueError("a weight above 0 for one of the terms at least: of none nothing is learned")
        return self


class ReaderLoss(Loss):
    """Weights of the terms: cross-entropy and Dice of the regions, distance of landmarks and of anchors."""

    cross: Weight
    dice: Weight
    landmarks: Weight
    anchors: Weight


class FinderLoss(Loss):
    """Weights of the terms: whether there is a face, and where its points are."""

    presence: Weight
    heat: Weight


class PigmentLoss(Loss):
    """Weights of the terms: cross-entropy and Dice of the lesion, its density, the share and mean density of
    every region, and how the latter differs between twins. Errors of density below ``huber_od`` count
    squared, larger ones by their size.
    """

    cross: Weight
    dice: Weight
    density: Weight
    fraction: Weight
    amount: Weight
    change: Weight
    huber_od: Positive


class Experiment(Section):
    """What all experiments say.

    Parameters
    ----------
    needs : {"dataset", "faces"}
        Annotated photographs of a site, or the synthetic faces with landmarks.
    seed : int
        The same seed, data and machine make the same network.
    precision : {"auto", "float32", "bfloat16"}
        ``auto``: bfloat16 where the machine computes in it.
    workers, threads : int
        Processes that draw samples, and threads that compute on a processor.
    """

    network: Literal["finder", "reader", "pigment"]
    needs: Literal["dataset", "faces"]
    model: ModelSettings
    schedule: ScheduleSettings
    seed: Annotated[int, Field(ge=0)]
    precision: Literal["auto", "float32", "bfloat16"]
    workers: Annotated[int, Field(ge=0, le=256)]
    threads: Annotated[int, Field(ge=1, le=256)]


class ReaderExperiment(Experiment):
    """Regions and landmarks of a face."""

    network: Literal["reader"]
    augmentation: ReaderAugmentation
    loss: ReaderLoss


class FinderExperiment(Experiment):
    """Whether and where there is a face."""

    network: Literal["finder"]
    needs: Literal["faces"]
    augmentation: FinderAugmentation
    loss: FinderLoss


class PigmentExperiment(Experiment):
    """The pigment map."""

    network: Literal["pigment"]
    augmentation: PigmentAugmentation
    loss: PigmentLoss


_KINDS: dict[str, type[Experiment]] = {
    "finder": FinderExperiment,
    "reader": ReaderExperiment,
    "pigment": PigmentExperiment,
}


def shipped_experiments() -> list[str]:
    """Names of the experiments that come with masi_vision."""
    folder = shipped_file("configs", "training/face_reader.yaml").parent
    return sorted(
        file.stem for file in folder.glob("*.yaml") if "network:" in file.read_text(encoding="utf-8")
    )


def load_experiment(config: str | Path) -> Experiment:
    """Read an experiment from a file, or by the name of one that comes with masi_vision.

    Raises
    ------
    SettingsError
        Naming the key, what was found and what was expected.
    """
    file = Path(config)
    if not file.is_file() and file.suffix == "":
        if config not in (shipped := shipped_experiments()):
            raise SettingsError(
                f"There is no experiment {str(config)!r}. Expected the path of a YAML file, or one of "
                f"{', '.join(shipped)}."
            )
        file = shipped_file("configs", f"training/{config}.yaml")
    values = read_yaml(file)
    kind = _KINDS.get(str(values.get("network")))
    if kind is None:
        raise SettingsError(
            f"{file} does not hold a usable experiment:\n  network: found {values.get('network')!r}. "
            f"Expected one of {', '.join(NETWORKS)}."
        )
    return checked(kind, values, file, "training/*.yaml")

"""The pigment network: its phantoms, its loss, its first steps."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")
if find_spec("segmentation_models_pytorch") is None:
    pytest.skip("needs the extra train", allow_module_level=True)

from masi_vision.face.atlas import Subunit  # noqa: E402
from masi_vision.pigment import learned  # noqa: E402
from masi_vision.pigment.learned import INPUT_CHANNELS, NETWORK_SHAPE  # noqa: E402
from masi_vision.skin.tone import lab  # noqa: E402
from masi_vision.training.designs import borrow_encoder  # noqa: E402
from masi_vision.training.experiment import load_experiment  # noqa: E402
from masi_vision.training.jpeg import through_jpeg  # noqa: E402
from masi_vision.training.losses import pigment_loss  # noqa: E402
from masi_vision.training.networks import PigmentReader  # noqa: E402
from masi_vision.training.phantom_batch import TWINS, density_input, photographed, recombined  # noqa: E402
from masi_vision.training.pigment_data import (  # noqa: E402
    PigmentSamples,
    SiteFrame,
    SitePigmentSamples,
    draw_phantom,
    frame_face,
)

HOW = load_experiment("pigment").augmentation
LOSS = load_experiment("pigment").loss
STILL = {"share", "moved", "misplaced"}
SKIN = np.array([0.45, 0.28, 0.2], np.float32)


@pytest.fixture(scope="module")
def samples(drawn_faces, atlas):
    faces = [frame_face(face, atlas) for face in drawn_faces]
    assert all(face is not None for face in faces)
    return PigmentSamples(faces, HOW.model_copy(update={"recombined": 1}), seed=1)


def occasions(samples, count, seed=0):
    rng = np.random.default_rng(seed)
    made = [samples.draw(rng) for _ in range(count)]
    return {name: torch.from_numpy(np.stack([one[name] for one in made])) for name in made[0]}


def batch_of(samples, count, seed=0):
    """As many phantoms, photographed."""
    return samples.ready(occasions(samples, count // TWINS, seed))


def drawn(samples, count, seed=0):
    batch = batch_of(samples, count, seed)
    return [{name: one[i].numpy() for name, one in batch.items()} for i in range(count)]


def even(face, level, *, lesion=0.0, density=0.0):
    """A face of one colour, with the same share of lesion and the same density everywhere, all known."""
    shape, known = face.codes.shape, np.ones(face.codes.shape, bool)
    plain = replace(
        face,
        linear_rgb=np.full_like(face.linear_rgb, level),
        skin_rgb=np.full(3, level, np.float32),
    )
    return SiteFrame(
        plain, np.full(shape, lesion, np.float32), known, np.full(shape, density, np.float32), known
    )


def blends_of(one, other, count):
    """Blends of two frames, nothing planted, no camera, nothing shifted, their contrast as it was."""
    how = HOW.model_copy(update={"blended": 1.0, "planted": 0.0, "distracted": 0.0, "camera": 0.0})
    made = occasions(SitePigmentSamples([one, other], how, seed=1), count)
    for name in STILL - {"share"}:
        made[name] = torch.zeros_like(made[name])
    made["spread"] = torch.ones_like(made["spread"])
    made["camera"] = torch.tensor([1.0, 1, 1, 1, 1, 0, 0, 0]).expand(count, TWINS, -1)
    return made, photographed(made, HOW.magnified)


def test_the_network_is_given_in_training_what_it_is_given_when_it_scores(drawn_faces, atlas):
    face = frame_face(drawn_faces[0], atlas)
    density = learned.optical_density(face.linear_rgb)
    ours = density_input(
        torch.from_numpy(np.ascontiguousarray(density.transpose(2, 0, 1)))[None],
        torch.from_numpy(face.codes > 0)[None],
    )
    np.testing.assert_allclose(ours[0].numpy(), learned.density_input(density, face.codes > 0), atol=1e-4)


def test_a_blend_shows_skin_only_where_both_faces_do(drawn_faces, atlas):
    face = frame_face(drawn_faces[0], atlas)
    part = replace(face, codes=np.where(np.arange(128) < 90, face.codes, 0).astype(np.uint8))
    made, batch = blends_of(even(face, 0.4), even(part, 0.4), 8)
    less = 0
    for place in range(8):
        first, second = (one > 0 for one in made["codes"][place])
        skin = batch["codes"][TWINS * place] > 0
        overlap = first & second
        # Two that hardly overlap make no blend: then it is the first as it is.
        torch.testing.assert_close(skin, overlap if 2 * overlap.sum() >= first.sum() else first)
        less += bool((overlap != first).any())
    assert less > 1


def test_a_blend_has_of_each_face_s_pigment_what_it_has_of_its_skin(drawn_faces, atlas):
    """The darker face is all lesion: how much of it there is says how much of its pigment there must be."""
    face = frame_face(drawn_faces[0], atlas)
    light, dark = even(face, 0.5), even(face, 0.5 * 10**-0.3, lesion=1, density=0.3)
    _, batch = blends_of(light, dark, 10)
    mixed = 0
    for place in range(0, 20, TWINS):
        skin = batch["codes"][place] > 0
        assert batch["known"][place][skin].min() == 1
        pigment = 0.1 * batch["density"][place][skin]
        darker = learned.UNIT_OD * batch["image"][place, 0][skin]
        np.testing.assert_allclose(darker - darker.mean(), pigment - pigment.mean(), atol=0.01)
        np.testing.assert_allclose(batch["lesion"][place][skin], pigment / 0.3, atol=1e-3)
        mixed += float(np.ptp(pigment.numpy())) > 0.1
    assert mixed > 2


def test_what_belongs_together_stays_together_when_drawn_parts_are_dealt_anew(samples):
    made = occasions(samples, 6)
    more = recombined(made, 3)
    assert len(more["seed"]) == 18
    for place in range(18):
        one = next(i for i in range(6) if torch.equal(made["pigment"][i], more["pigment"][place]))
        torch.testing.assert_close(made["lesion"][one], more["lesion"][place])
        torch.testing.assert_close(made["colour"][one], more["colour"][place])
        torch.testing.assert_close(made["linear"][place % 6, 0], more["linear"][place, 0])
        torch.testing.assert_close(made["codes"][place % 6, 0], more["codes"][place, 0])
    assert not all(torch.equal(made["pigment"][i], more["pigment"][6 + i]) for i in range(6))


def test_a_face_in_the_frame_keeps_its_regions_in_their_places(drawn_faces, atlas):
    import cv2

    expected = cv2.resize(atlas.labels, NETWORK_SHAPE[::-1], interpolation=cv2.INTER_NEAREST)
    for face in drawn_faces:
        codes = frame_face(face, atlas).codes
        both = (codes > 0) & (expected > 0)
        assert (codes == expected)[both].mean() > 0.97


def test_a_photo_without_colour_is_left_out(drawn_faces, atlas):
    grey = np.repeat(drawn_faces[0].pixels[..., :1], 3, axis=2)
    assert frame_face(replace(drawn_faces[0], pixels=grey), atlas) is None


def test_a_phantom_s_truth_lies_on_lesions_and_clear_faces_have_none(samples):
    made = drawn(samples, 60)
    clear = [one for one in made if not one["density"].any()]
    assert 3 < len(clear) < 30
    assert not any(one["lesion"].any() for one in clear)
    for one in made:
        assert one["image"].shape == (INPUT_CHANNELS, *NETWORK_SHAPE)
        assert np.isfinite(one["image"]).all()
        assert one["density"].min() >= 0
        lesion = one["lesion"] > 0.9
        if lesion.sum() > 50:
            assert np.median(one["density"][lesion]) > 2 * np.median(one["density"][one["lesion"] < 0.1])


def test_twins_differ_in_their_pigment_alone(samples):
    differing = 0
    for one, other in zip(*[iter(drawn(samples, 24, seed=4))] * 2, strict=True):
        np.testing.assert_array_equal(one["codes"], other["codes"])
        skin = one["codes"] > 0
        pigment = (one["density"] - other["density"])[skin]
        if np.abs(pigment).max() > 1.5:
            differing += 1
            darker = (one["image"][:3] - other["image"][:3]).mean(axis=0)[skin]
            assert np.corrcoef(darker, pigment)[0, 1] > 0.8
    assert differing > 2


def test_twins_of_two_visits_have_the_same_pigment_in_other_pictures(drawn_faces, atlas):
    faces = [face for face in (frame_face(one, atlas) for one in drawn_faces) if face is not None]
    how = HOW.model_copy(update={"recombined": 1, "one_occasion": 0.0, "blended": 0.0, "distracted": 0.0})
    made = occasions(PigmentSamples(faces, how, seed=1), 6)
    assert (made["camera"][:, 0] != made["camera"][:, 1]).any(dim=1).all()
    for name in ("pigment", "lesion", "colour"):
        made[name][:, 1] = made[name][:, 0]
    made["misplaced"] = torch.zeros_like(made["misplaced"])
    batch = photographed(made, HOW.magnified)
    for place in range(0, 12, TWINS):
        for name in ("density", "lesion", "codes"):
            torch.testing.assert_close(batch[name][place], batch[name][place + 1])
        assert not torch.equal(batch["image"][place, :3], batch["image"][place + 1, :3])


def test_what_is_wrong_with_both_visits_alike_is_no_wrong_change(samples):
    batch = batch_of(samples, 8)
    off = torch.tensor([1.0, -1.0]).repeat(4)[:, None, None]

    def change_of(surplus):
        answer = torch.stack([4 * (2 * batch["lesion"] - 1), batch["density"] + surplus], dim=1)
        return pigment_loss(lambda image: answer, batch, LOSS)[1]["change"]

    assert change_of(torch.tensor(1.0)) < 1e-6
    assert change_of(off) > 0.1


@pytest.mark.parametrize("quality", [60, 75, 90])
def test_a_file_changes_the_pixels_as_opencv_s_own_does(quality):
    """What both do to a picture must be much the same; they round elsewhere, by a step or two."""
    import cv2

    rng = np.random.default_rng(quality)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (96, 128, 3)).astype(np.float32), (0, 0), 2)
    picture = np.clip(128 + 3 * (picture - 128), 0, 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    expected = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32)
    given = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))[None]
    ours = through_jpeg(given, torch.tensor([float(quality)]))[0].numpy().transpose(1, 2, 0)
    lost, lost_there = ours - picture, expected - picture
    assert lost_there.std() > 1
    assert (ours - expected).std() < 0.6 * lost_there.std()
    assert 0.85 < lost.std() / lost_there.std() < 1.15


def test_a_number_always_gives_the_same_phantom(samples):
    for number in (3, 8):
        one, other = samples.plain(number), samples.plain(number)
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(samples.plain(3)["image"], samples.plain(8)["image"])


def test_darker_phantoms_are_darker(samples):
    def typical(factor):
        rng = np.random.default_rng(9)
        drawn = [draw_phantom(SKIN, rng, darker=factor) for _ in range(60)]
        return np.median([d.density_od.max() for d in drawn if d.lesion.any()])

    assert typical(2.0) > 1.5 * typical(1.0)


def test_an_enlarged_melasma_covers_more_and_a_sheet_covers_whole_regions(samples):
    codes = samples.faces[0].codes

    def shares(**how):
        rng = np.random.default_rng(4)
        drawn = [draw_phantom(SKIN, rng, codes, **how) for _ in range(80)]
        return [[one.lesion[codes == code].mean() for code in np.unique(codes[codes > 0])] for one in drawn]

    usual, enlarged, sheets = shares(), shares(enlarged=1.0), np.array(shares(sheets=1.0))
    assert np.mean(enlarged) > 1.5 * np.mean(usual)
    covered = sheets[sheets.any(axis=1)]
    assert len(covered) > 50
    assert (np.abs(covered - 0.5) > 0.3).mean() > 0.9  # whole, or not at all
    assert (covered.max(axis=1) > 0.7).all()


def test_without_them_phantoms_are_those_of_before(samples):
    codes = samples.faces[0].codes
    one, other = (
        [draw_phantom(SKIN, np.random.default_rng(seed), *of_a_face).density_od for seed in range(20)]
        for of_a_face in ((), (codes,))
    )
    assert all(map(np.array_equal, one, other))


def test_lesions_are_darker_than_the_skin_beside_them(samples):
    differences = []
    for one in drawn(samples, 80, seed=5):
        skin = one["codes"] > 0
        lesion = skin & (one["lesion"] > 0.9) & (one["density"] > 0.8)
        if lesion.sum() > 100:
            for region in np.unique(one["codes"][lesion]):
                here = one["codes"] == region
                beside = here & (one["lesion"] < 0.05)
                if beside.sum() > 50 and (lesion & here).sum() > 50:
                    of = one["image"][:3].mean(axis=0)
                    differences.append(of[lesion & here].mean() - of[beside].mean())
    assert len(differences) > 10
    assert np.median(differences) > 0.2  # 0.06 OD


def test_phantoms_are_as_dark_as_melasma_is():
    rng = np.random.default_rng(0)
    for _ in range(60):
        melasma = draw_phantom(SKIN, rng)
        if melasma.lesion.any():
            typical = np.median(melasma.density_od[melasma.lesion])
            drop = float(lab(SKIN)[0] - lab(SKIN * 10 ** (-typical * melasma.colour))[0])
            assert 0.2 < drop < 20


def test_a_right_answer_costs_less_than_a_blank_one_or_a_full_one(samples):
    batch = batch_of(samples, 8)

    def loss_of(lesion, density):
        answer = torch.stack([lesion, density], dim=1)
        return pigment_loss(lambda image: answer, batch, LOSS)[0]

    right = loss_of(8 * (2 * batch["lesion"] - 1), batch["density"])
    blank = loss_of(torch.full_like(batch["lesion"], -8.0), torch.zeros_like(batch["density"]))
    full = loss_of(torch.full_like(batch["lesion"], 8.0), torch.ones_like(batch["density"]))
    assert right < 0.2 * blank
    assert right < 0.2 * full


def test_what_lies_off_the_skin_costs_nothing(samples):
    batch = batch_of(samples, 4)
    off = batch["codes"] == Subunit.NONE

    def loss_of(filled):
        lesion = torch.where(off, torch.tensor(filled), 4 * (2 * batch["lesion"] - 1))
        density = torch.where(off, torch.tensor(filled), batch["density"])
        answer = torch.stack([lesion, density], dim=1)
        return pigment_loss(lambda image: answer, batch, LOSS)[0]

    torch.testing.assert_close(loss_of(-3.0), loss_of(5.0))


def test_a_few_steps_lower_the_loss(samples):
    torch.manual_seed(0)
    batch = batch_of(samples, 4)
    network = PigmentReader().train()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    losses = []
    for _ in range(10):
        loss, facts = pigment_loss(network, batch, LOSS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
    assert set(facts) == {"cross", "dice", "density", "fraction", "amount", "change"}


def test_the_encoder_starts_with_the_filters_of_the_shipped_reader():
    from masi_vision.shipped import shipped_file

    network = PigmentReader()
    before = {name: weight.clone() for name, weight in network.unet.encoder.named_parameters()}
    borrow_encoder(network, shipped_file("models", "face_reader.onnx"))
    changed = {n for n, weight in network.unet.encoder.named_parameters() if (weight != before[n]).any()}
    assert len(changed) >= 14
    assert "conv1.weight" not in changed  # more channels here

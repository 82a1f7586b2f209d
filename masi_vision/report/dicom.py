"""Photographs and their masks as DICOM: VL Photographic Image Storage, and Segmentation Storage beside it.

Nothing of the patient goes in but the trial's own names of patient and visit; no date of a visit does. The
face can be recognised, and the image says so.

References
----------
DICOM PS3.3, A.32.4 (VL Photographic Image), A.51 (Segmentation); PS3.6 (codes of SNOMED CT as pydicom and
highdicom have them).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    VLPhotographicImageStorage,
    generate_uid,
)

from masi_vision.face.atlas import SUBUNITS, Subunit
from masi_vision.report.dicom_mark import MARK
from masi_vision.version import __version__

Mask = npt.NDArray[np.uint8]
_MAKER = "masi_vision"
_NO_DATE, _NO_TIME = "19000101", "000000"
"""May not be empty in a segmentation, and a date of ours would tell of the visit's."""
_SKIN = {
    Subunit.FOREHEAD: codes.SCT.SkinOfForehead,
    Subunit.RIGHT_MALAR: codes.SCT.SkinOfCheek,
    Subunit.LEFT_MALAR: codes.SCT.SkinOfCheek,
    Subunit.CHIN: codes.SCT.SkinOfChin,
    Subunit.NOSE: codes.SCT.SkinOfNose,
    Subunit.UPPER_LIP: codes.SCT.SkinOfUpperLip,
}
_SIDES = {Subunit.RIGHT_MALAR: codes.SCT.Right, Subunit.LEFT_MALAR: codes.SCT.Left}


@dataclass(frozen=True)
class Shown:
    """Whose photograph it is, as the trial names it.

    Parameters
    ----------
    study, patient, visit : str
    view : str
        front, left or right.
    """

    study: str
    patient: str
    visit: str
    view: str

    def uid(self, *what: str) -> str:
        """An identifier that is the same every time for the same names and contents, and for no others."""
        names = [_MAKER, self.study, self.patient, self.visit, *what]
        return str(generate_uid(entropy_srcs=[json.dumps(names)]))


@dataclass(frozen=True)
class CodedPicture:
    """The picture as it is kept.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    jpeg : bytes or None
        A baseline JPEG, upright, without metadata: kept bit by bit.
    srgb : (H, W, 3) uint8 or None
        The pixels, where there is no such JPEG.
    profile : bytes
        ICC profile of its colours.
    lossy : bool
        Whether the photograph was compressed with loss at any time.
    """

    size: tuple[int, int]
    jpeg: bytes | None
    srgb: npt.NDArray[np.uint8] | None
    profile: bytes
    lossy: bool


def photograph(shown: Shown, picture: CodedPicture) -> Dataset:
    """A photograph as VL Photographic Image."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = VLPhotographicImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = shown.uid(
        shown.view, "photograph", _hash(picture.jpeg or np.asarray(picture.srgb).tobytes())
    )
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientID = made.ClinicalTrialSubjectID = shown.patient
    made.PatientName = made.PatientBirthDate = made.PatientSex = ""
    made.ClinicalTrialSponsorName = "not given"  # may not be empty
    made.ClinicalTrialProtocolName = made.ClinicalTrialSiteID = made.ClinicalTrialSiteName = ""
    made.ClinicalTrialProtocolID, made.StudyID = shown.study, ""
    made.ClinicalTrialTimePointID = shown.visit
    made.StudyInstanceUID = shown.uid()
    made.StudyDate = made.StudyTime = made.AccessionNumber = made.ReferringPhysicianName = ""
    made.Modality, made.SeriesNumber, made.SeriesInstanceUID = "XC", 1, shown.uid(shown.view)
    made.SeriesDescription = shown.view
    made.Manufacturer = ""
    made.InstanceNumber = 1
    made.PatientOrientation = ["L", "F"] if shown.view == "front" else None
    made.AnatomicRegionSequence = [_code(codes.SCT.Face)]
    made.AcquisitionContextSequence = []
    made.RecognizableVisualFeatures = "YES"
    made.ImageType = ["ORIGINAL" if picture.jpeg else "DERIVED", "PRIMARY"]
    made.Rows, made.Columns = picture.size
    made.SamplesPerPixel, made.PlanarConfiguration, made.PixelRepresentation = 3, 0, 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    made.ICCProfile = picture.profile
    made.LossyImageCompression = "01" if picture.lossy else "00"
    if picture.jpeg is not None:
        made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        made.PhotometricInterpretation = "YBR_FULL_422"
        made.LossyImageCompressionMethod = "ISO_10918_1"
        made.LossyImageCompressionRatio = f"{3 * made.Rows * made.Columns / len(picture.jpeg):.2f}"
        made.PixelData = encapsulate([picture.jpeg])
        made["PixelData"].is_undefined_length = True
    else:
        assert picture.srgb is not None, "neither a JPEG nor pixels"
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made.PhotometricInterpretation = "RGB"
        made.PixelData = np.ascontiguousarray(picture.srgb).tobytes() + b"\0" * (picture.srgb.size % 2)
    return made


def segmentation(shown: Shown, photo: Dataset, regions: Mask, lesion: Mask) -> Dataset:
    """The masks of a photograph as a Segmentation: a segment for every region, and one for the lesion.

    Parameters
    ----------
    photo : Dataset
        As `photograph` made it.
    regions : (H, W) uint8
        Codes of the subunits.
    lesion : (H, W) uint8
        1 where skin is pigmented.
    """
    wanted = [subunit for subunit in SUBUNITS if (regions == subunit).any()]
    layers = [regions == subunit for subunit in wanted]
    described = [_described(place, subunit) for place, subunit in enumerate(wanted, 1)]
    if lesion.any():
        layers.append(lesion > 0)
        described.append(_description(len(layers), "pigmented lesion", lesion=True))
    drawn = _hash(photo.SOPInstanceUID.encode() + regions.tobytes() + lesion.tobytes() + __version__.encode())
    made = highdicom.seg.Segmentation(
        source_images=[photo],
        pixel_array=np.stack(layers, axis=-1)[None],
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=described,
        series_instance_uid=shown.uid(shown.view, "segmentation series", drawn),
        series_number=2,
        sop_instance_uid=shown.uid(shown.view, "segmentation", drawn),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions=__version__,
        device_serial_number="0",
        series_description=f"{shown.view}: regions and lesion",
    )
    made.PatientOrientation = photo.PatientOrientation
    # The clock of the export, or a number by chance, would be other contents under the same identifier.
    made.ContentDate, made.ContentTime = _NO_DATE, _NO_TIME
    dimensions = shown.uid(shown.view, "dimensions", drawn)
    for part in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        part.DimensionOrganizationUID = dimensions
    for part, word in (
        (made, "InstanceCreationDate"),
        (made, "InstanceCreationTime"),
        *((part, "ContributionDateTime") for part in made.ContributingEquipmentSequence),
    ):
        if word in part:
            delattr(part, word)
    for segment, subunit in zip(made.SegmentSequence, wanted, strict=False):
        if subunit in _SIDES:
            place = _code(codes.SCT.Cheek)
            place.AnatomicRegionModifierSequence = [_code(_SIDES[subunit])]
            segment.AnatomicRegionSequence = [place]
    return made


def _described(number: int, subunit: Subunit) -> Any:
    return _description(number, subunit.name.lower().replace("_", " "), skin=_SKIN[subunit])


def _description(number: int, label: str, *, skin: Any = None, lesion: bool = False) -> Any:
    category = codes.SCT.MorphologicallyAbnormalStructure if lesion else codes.SCT.AnatomicalStructure
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=category,
        segmented_property_type=codes.SCT.SkinLesion if lesion else skin,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=_MAKER, family=codes.DCM.ArtificialIntelligence, version=__version__
        ),
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _code(concept: Any) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator = concept.value, concept.scheme_designator
    made.CodeMeaning = concept.meaning
    return made


def as_bytes(made: Dataset) -> bytes:
    """The file, with the mark of who wrote it."""
    made.file_meta.SourceApplicationEntityTitle = MARK
    stream = BytesIO()
    made.save_as(stream, enforce_file_format=True)
    return stream.getvalue()

"""All sections of the settings. Sections bear the name of the asset that reads them."""

from __future__ import annotations

import hashlib
import json

from dataset_pipeline.settings.pictures import (
    BurntInTextSettings,
    CharacterGallerySettings,
    ClustersSettings,
    CropEmbeddingsSettings,
    CropsSettings,
    DetailsSettings,
    DetectionsSettings,
    NamedCharactersSettings,
    QualityScoresSettings,
    ReferencesSettings,
    TagScoresSettings,
    TextLinesSettings,
)
from dataset_pipeline.settings.project import (
    ArrivalsSettings,
    ClusterSettings,
    CorrectionsSettings,
    EpisodesSettings,
    ModelsSettings,
    StoreSettings,
)
from dataset_pipeline.settings.regularization import (
    GeneratorSettings,
    RegularizationRegionsSettings,
    RegularizationSelectionSettings,
    RegularizationSettings,
)
from dataset_pipeline.settings.section import Section
from dataset_pipeline.settings.super_resolution import (
    ReleaseAlignmentSettings,
    ReleasePairsSettings,
    SrSelectionSettings,
    SrSequencesSettings,
    SrSetSettings,
    SrSourcesSettings,
    SrTilesSettings,
    SuperResolutionSettings,
)
from dataset_pipeline.settings.training_set import (
    CaptionsSettings,
    ClipsSettings,
    ConceptBalanceSettings,
    CoreTagsSettings,
    DescriptionsSettings,
    ExportedSetSettings,
    PeopleSettings,
    SelectionSettings,
    TagRulesSettings,
    TagsSettings,
    TagThresholdsSettings,
    TrainingClipsSettings,
    TrainingImagesSettings,
    TrainingSetSettings,
)
from dataset_pipeline.settings.video import (
    AlignmentsSettings,
    BackdropsSettings,
    DistinctFramesSettings,
    FrameDefectsSettings,
    FramePassSettings,
    KeyframesSettings,
    PanoramasSettings,
    RepeatedFramesSettings,
    ShotsSettings,
    TracksSettings,
    VideoSettings,
)


class Settings(Section):
    """All settings; sections bear the name of the asset that reads them."""

    episodes: EpisodesSettings
    arrivals: ArrivalsSettings
    store: StoreSettings
    corrections: CorrectionsSettings
    cluster: ClusterSettings
    models: ModelsSettings
    video: VideoSettings
    shots: ShotsSettings
    tracks: TracksSettings
    keyframes: KeyframesSettings
    alignments: AlignmentsSettings
    panoramas: PanoramasSettings
    backdrops: BackdropsSettings
    frame_defects: FrameDefectsSettings
    distinct_frames: DistinctFramesSettings
    repeated_frames: RepeatedFramesSettings
    detections: DetectionsSettings
    crops: CropsSettings
    details: DetailsSettings
    crop_embeddings: CropEmbeddingsSettings
    character_gallery: CharacterGallerySettings
    clusters: ClustersSettings
    references: ReferencesSettings
    named_characters: NamedCharactersSettings
    quality_scores: QualityScoresSettings
    tag_scores: TagScoresSettings
    text_lines: TextLinesSettings
    burnt_in_text: BurntInTextSettings
    tag_thresholds: TagThresholdsSettings
    tag_rules: TagRulesSettings
    core_tags: CoreTagsSettings
    people: PeopleSettings
    tags: TagsSettings
    selection: SelectionSettings
    descriptions: DescriptionsSettings
    captions: CaptionsSettings
    training_images: TrainingImagesSettings
    concept_balance: ConceptBalanceSettings
    training_set: TrainingSetSettings
    clips: ClipsSettings
    training_clips: TrainingClipsSettings
    exported_set: ExportedSetSettings
    super_resolution: SuperResolutionSettings
    release_alignment: ReleaseAlignmentSettings
    release_pairs: ReleasePairsSettings
    sr_sources: SrSourcesSettings
    sr_tiles: SrTilesSettings
    sr_selection: SrSelectionSettings
    sr_set: SrSetSettings
    sr_sequences: SrSequencesSettings
    regularization: RegularizationSettings
    generator: GeneratorSettings
    regularization_selection: RegularizationSelectionSettings
    regularization_regions: RegularizationRegionsSettings

    @property
    def frame_pass(self) -> FramePassSettings:
        """How `shots` decodes: its rows are the same whether `keyframes` finds them on its way or it looks itself."""
        return FramePassSettings(whole=self.keyframes.looks_at_every_frame)

    @property
    def run_command(self) -> str:
        """The command that brings the project up to date, for messages: in a cluster the workers do it."""
        return "dataset-pipeline run --submit" if self.cluster.is_set else "dataset-pipeline run"

    def section_hash(self, *names: str) -> str:
        """12 hex digits over what counts of the named sections; the same everywhere. A section that follows from others
        and counts nothing is left out."""
        counted = {name: getattr(self, name).counted() for name in sorted(names)}
        payload = {name: values for name, values in counted.items() if values or name in Settings.model_fields}
        return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:12]

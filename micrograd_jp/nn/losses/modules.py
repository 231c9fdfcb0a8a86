"""損失関数の部品 (PyTorch の名前)。引数も計算も、それぞれが名を挙げる関数のものである。"""

from __future__ import annotations

from typing import Any, ClassVar

from micrograd_jp.arguments import explain_all
from micrograd_jp.nn.losses import distances, elements, likelihoods, margins, robust, similarity
from micrograd_jp.nn.losses.reduction import reduction_of
from micrograd_jp.nn.module.function import OfFunction

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CosineEmbeddingLoss", "CosineSimilarity", "CrossEntropyLoss",
    "GaussianNLLLoss", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "KLDivLoss", "L1Loss",
    "MSELoss", "MarginRankingLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss",
    "MultiMarginLoss", "NLLLoss", "PairwiseDistance", "PoissonNLLLoss", "SmoothL1Loss",
    "SoftMarginLoss", "SumSquaredError", "TripletMarginLoss", "TripletMarginWithDistanceLoss",
]  # fmt: skip


class _Loss(OfFunction):
    _only_taken = ("size_average", "reduce")
    _also: ClassVar[tuple[str, ...]] = ()

    def _take(self, given: dict[str, Any]) -> None:
        if "reduction" in given:
            size_average, reduce = (given.pop(name, None) for name in self._only_taken)
            given["reduction"] = reduction_of(
                given["reduction"], size_average, reduce, also=self._also
            )
        super()._take(given)

    def extra_repr(self) -> str:
        """まとめ方（平均でなければ）。"""
        reduction = getattr(self, "reduction", "mean")
        return "" if reduction == "mean" else f"reduction={reduction!r}"


class MSELoss(_Loss, function=elements.mse_loss, inputs=2, without="weight"):
    """平均二乗誤差 (`mse_loss`): 出力 y と、同じ形の正解 t から。"""


class L1Loss(_Loss, function=elements.l1_loss, inputs=2, without="weight"):
    """平均絶対誤差 (`l1_loss`): 出力 y と、同じ形の正解 t から。"""


class SmoothL1Loss(_Loss, function=robust.smooth_l1_loss, inputs=2):
    """滑らかな L1 損失 (`smooth_l1_loss`): 出力 y と、同じ形の正解 t から。"""


class HuberLoss(_Loss, function=robust.huber_loss, inputs=2, without="weight"):
    """フーバー損失 (`huber_loss`): 出力 y と、同じ形の正解 t から。"""


class SumSquaredError(_Loss, function=elements.sum_squared_error, inputs=2):
    """二乗和誤差 ½Σ(t − y)² (`sum_squared_error`): 出力 y と、同じ形の正解 t から。"""


class CrossEntropyLoss(_Loss, function=elements.cross_entropy, inputs=2):
    """交差エントロピー誤差 (`cross_entropy`): ロジット (N, C) と、番号 (N,) か確率 (N, C) から。"""


class NLLLoss(_Loss, function=elements.nll_loss, inputs=2):
    """負の対数尤度 (`nll_loss`): 対数確率 (N, C) と番号 (N,) から。"""


class BCELoss(_Loss, function=likelihoods.binary_cross_entropy, inputs=2):
    """2 値の交差エントロピー誤差 (`binary_cross_entropy`): 確率と、同じ形の正解 t から。"""


class BCEWithLogitsLoss(_Loss, function=elements.binary_cross_entropy_with_logits, inputs=2):
    """2 値の交差エントロピー誤差 (`binary_cross_entropy_with_logits`)。

    ロジット y と、同じ形の 0 以上 1 以下の正解 t から。
    """


class KLDivLoss(_Loss, function=likelihoods.kl_div, inputs=2):
    """カルバック・ライブラー情報量 (`kl_div`): 対数確率と、同じ形の確率から。"""

    _also = ("batchmean",)


class GaussianNLLLoss(_Loss, function=likelihoods.gaussian_nll_loss, inputs=3, by_name=True):
    """正規分布の負の対数尤度 (`gaussian_nll_loss`): 平均と、正解と、分散から。"""


class PoissonNLLLoss(_Loss, function=likelihoods.poisson_nll_loss, inputs=2):
    """ポアソン分布の負の対数尤度 (`poisson_nll_loss`): log λ と、同じ形の回数から。"""


class HingeLoss(_Loss, function=elements.hinge_loss, inputs=2):
    """ヒンジ損失 (`hinge_loss`): スコア (N, C) と番号 (N,)、または y と、同じ形の −1 か 1 から。"""


class SoftMarginLoss(_Loss, function=margins.soft_margin_loss, inputs=2):
    """ロジスティック損失 (`soft_margin_loss`): スコアと、同じ形の −1 か 1 から。"""


class HingeEmbeddingLoss(_Loss, function=margins.hinge_embedding_loss, inputs=2):
    """距離のヒンジ損失 (`hinge_embedding_loss`): 距離と、同じ形の −1 か 1 から。"""


class MarginRankingLoss(_Loss, function=margins.margin_ranking_loss, inputs=3):
    """順位の損失 (`margin_ranking_loss`): 2 つのスコアと、同じ形の −1 か 1 から。"""


class MultiMarginLoss(_Loss, function=margins.multi_margin_loss, inputs=2):
    """多クラスのヒンジ損失 (`multi_margin_loss`): スコア (N, C) と番号 (N,) から。"""


class MultiLabelMarginLoss(_Loss, function=margins.multilabel_margin_loss, inputs=2):
    """いくつものラベルのヒンジ損失 (`multilabel_margin_loss`): スコア (N, C) と番号から。"""


class MultiLabelSoftMarginLoss(_Loss, function=margins.multilabel_soft_margin_loss, inputs=2):
    """いくつものラベルの損失 (`multilabel_soft_margin_loss`): ロジット (N, C) と 0 か 1 から。"""


class CosineEmbeddingLoss(_Loss, function=similarity.cosine_embedding_loss, inputs=3):
    """コサイン類似度の損失 (`cosine_embedding_loss`): (N, D) を 2 つと、−1 か 1 (N,) から。"""


class TripletMarginLoss(_Loss, function=similarity.triplet_margin_loss, inputs=3):
    """三つ組の損失 (`triplet_margin_loss`): 基準、同じ種類、違う種類の (N, D) から。"""


class TripletMarginWithDistanceLoss(
    _Loss, function=similarity.triplet_margin_with_distance_loss, inputs=3
):
    """自分で決めた距離の、三つ組の損失 (`triplet_margin_with_distance_loss`)。"""


class CosineSimilarity(_Loss, function=distances.cosine_similarity, inputs=2):
    """コサイン類似度 (`cosine_similarity`)。"""


class PairwiseDistance(_Loss, function=distances.pairwise_distance, inputs=2):
    """2 点の距離 (`pairwise_distance`)。"""


explain_all(globals())

"""The operators that a graph of torch's may call: they compute tensors of tensors, within their bounds.

Named one by one. Torch has others that trust the sizes and indices they are given (`_unsafe_index`, sparse
and nested tensors made of parts), that show memory which nothing was written to (`empty`), that change what
a tensor lies on (`set_`, `resize_`, `as_strided`), or that reach files: a forged graph would use those.
"""

from __future__ import annotations

import re

_ELEMENTWISE = (
    "__and__ __or__ __xor__ abs absolute acos acosh add addcdiv addcmul angle arccos arccosh arcsin "
    "arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh bitwise_and bitwise_left_shift "
    "bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil celu clamp clamp_max clamp_min clip "
    "complex conj conj_physical copysign cos cosh deg2rad digamma div divide elu eq erf erfc erfinv exp "
    "exp2 expm1 fix float_power floor floor_divide fmax fmin fmod frac gcd ge gelu glu greater "
    "greater_equal gt hardshrink hardsigmoid hardswish hardtanh heaviside hypot i0 igamma igammac imag "
    "isclose isfinite isin isinf isnan isneginf isposinf isreal lcm ldexp le leaky_relu lerp less "
    "less_equal lgamma log log10 log1p log2 log_sigmoid logaddexp logaddexp2 logical_and logical_not "
    "logical_or logical_xor logit lt maximum minimum mish mul multiply mvlgamma nan_to_num ne neg "
    "negative nextafter not_equal polar polygamma positive pow prelu rad2deg real reciprocal relu relu6 "
    "remainder round rrelu rsqrt rsub selu sgn sigmoid sign signbit silu sin sinc sinh softplus "
    "softshrink special_entr special_erf special_erfc special_erfcx special_erfinv special_exp2 "
    "special_expit special_expm1 special_gammaln special_i0 special_i0e special_i1 special_i1e "
    "special_log1p special_log_ndtr special_logit special_ndtr special_ndtri special_softmax "
    "special_xlog1py special_xlogy special_zeta sqrt square sub subtract tan tanh threshold true_divide "
    "trunc where xlogy"
)
_OVER_DIMENSIONS = (
    "all amax amin aminmax any argmax argmin argsort count_nonzero cummax cummin cumprod cumsum diff "
    "equal frobenius_norm kthvalue linalg_norm linalg_vector_norm logcumsumexp logsumexp max mean "
    "median min mode nanmean nanmedian nanquantile nansum norm nuclear_norm prod quantile renorm sort "
    "special_logsumexp std std_mean sum topk trace trapezoid var var_mean _log_softmax _safe_softmax "
    "_softmax log_softmax softmax softmin bincount histc bucketize searchsorted unique_consecutive "
    "unique_dim _unique _unique2"
)
_OF_MATRICES = (
    "addbmm addmm addmv addr baddbmm bilinear bmm cdist chain_matmul cosine_similarity cross dist dot "
    "einsum inner kron linalg_cholesky linalg_cross linalg_det linalg_inv linalg_matmul "
    "linalg_matrix_exp linalg_matrix_norm linalg_multi_dot linalg_pinv linalg_qr linalg_slogdet "
    "linalg_solve linalg_svd linalg_svdvals linalg_vecdot linear matmul mm mv outer pairwise_distance "
    "pdist scaled_dot_product_attention tensordot vdot cholesky inverse det logdet slogdet matrix_exp "
    "matrix_power _cdist_forward _euclidean_dist"
)
_SHAPES = (
    "_reshape_alias _shape_as_tensor alias alias_copy atleast_1d atleast_2d atleast_3d block_diag "
    "broadcast_tensors broadcast_to cat channel_shuffle chunk clone column_stack concat concatenate "
    "constant_pad_nd contiguous copy detach detach_copy diag diag_embed diagonal diagonal_copy "
    "diagonal_scatter dsplit dstack expand expand_as expand_copy flatten flip fliplr flipud hsplit "
    "hstack meshgrid moveaxis movedim narrow narrow_copy numpy_T pad permute permute_copy pixel_shuffle "
    "pixel_unshuffle ravel repeat repeat_interleave reshape reshape_as resolve_conj resolve_neg roll "
    "rot90 select select_copy select_scatter slice slice_copy slice_scatter split split_copy "
    "split_with_sizes split_with_sizes_copy squeeze squeeze_copy stack swapaxes swapdims t t_copy "
    "tensor_split tile transpose transpose_copy tril triu unbind unbind_copy unflatten unfold "
    "unfold_copy unsqueeze unsqueeze_copy view view_as view_as_complex view_as_real view_copy vsplit "
    "vstack"
)
_INDEXING = (
    "argwhere embedding gather index index_add index_copy index_fill index_put index_reduce "
    "index_select masked_fill masked_scatter masked_select nonzero nonzero_numpy nonzero_static one_hot "
    "put scatter scatter_add scatter_reduce take take_along_dim tril_indices triu_indices"
)
_MADE = (
    "_to_copy arange bernoulli dropout alpha_dropout feature_dropout eye fill full full_like "
    "hann_window lift_fresh lift_fresh_copy linspace logspace multinomial new_full new_ones new_zeros "
    "normal ones ones_like rand rand_like randint randint_like randn randn_like randperm scalar_tensor "
    "to type_as uniform zero zeros zeros_like native_dropout _conj _neg_view float double half int long "
    "bool"
)
_LAYERS = (
    "_adaptive_avg_pool2d _adaptive_avg_pool3d _native_batch_norm_legit "
    "_native_batch_norm_legit_no_training _convolution _weight_norm _weight_norm_interface "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d affine_grid_generator avg_pool1d avg_pool2d avg_pool3d "
    "batch_norm col2im conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "convolution fft_fft fft_fft2 fft_fftn fft_fftshift fft_ifft fft_ifft2 fft_ifftn fft_ifftshift "
    "fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftn _fft_c2c _fft_c2r _fft_r2c "
    "grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru gru_cell im2col instance_norm istft "
    "layer_norm lstm lstm_cell max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices "
    "max_pool3d max_pool3d_with_indices native_batch_norm native_group_norm native_layer_norm "
    "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
    "replication_pad3d rms_norm rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell stft upsample_bicubic2d "
    "upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "upsample_trilinear3d _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d "
    "_upsample_nearest_exact2d _upsample_nearest_exact3d"
)
_LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits cross_entropy_loss huber_loss l1_loss "
    "mse_loss nll_loss nll_loss2d nll_loss_nd smooth_l1_loss kl_div"
)
_ASSERTIONS = (
    "_assert_async _assert_scalar _assert_tensor_metadata _local_scalar_dense item numel size stride "
    "dim sym_constrain_range sym_constrain_range_for_size sym_numel sym_size sym_storage_offset "
    "sym_stride is_floating_point is_complex is_nonzero"
)
_ATEN = frozenset(
    " ".join(
        (
            *(_ELEMENTWISE, _OVER_DIMENSIONS, _OF_MATRICES, _SHAPES, _INDEXING, _MADE),
            *(_LAYERS, _LOSSES, _ASSERTIONS),
        )
    ).split()
)
_IN_PLACE = frozenset(f"{_ELEMENTWISE} {_INDEXING} copy detach dropout fill squeeze t transpose tril triu "
                      "unsqueeze zero bernoulli uniform normal".split())  # fmt: skip
"""Those that may have an underscore behind them."""
_OTHERS = {
    "prims": frozenset(["broadcast_in_dim", "convert_element_type", "device_put", "iota", "view_of"]),
    "torchvision": frozenset(["nms", "roi_align", "roi_pool"]),
    "quantized_decomposed": frozenset(
        f"{kind}_per_{what}" for kind in ("quantize", "dequantize") for what in ("tensor", "channel", "token")
    ),
}
_NAME = re.compile(r"torch\.ops\.(aten|prims|torchvision|quantized_decomposed)\.(\w+)\.(\w+)", re.ASCII)


def is_of_tensors(target: str) -> bool:
    """Whether the text names an overload of one of these operators."""
    found = _NAME.fullmatch(target)
    if not found or found[3].startswith("__") or found[3].endswith("out"):  # which would resize what it gets
        return False
    if found[1] != "aten":
        return found[2] in _OTHERS[found[1]]
    return found[2] in _ATEN or (found[2].endswith("_") and found[2][:-1] in _IN_PLACE)

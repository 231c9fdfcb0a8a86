# Written by python -m micrograd_jp.stub; do not edit.
from micrograd_jp import amp as amp
from micrograd_jp import compiler as compiler
from micrograd_jp import data as data
from micrograd_jp import distributed as distributed
from micrograd_jp import engine as engine
from micrograd_jp import functions as functions
from micrograd_jp import graph as graph
from micrograd_jp import namespace as namespace
from micrograd_jp import native as native
from micrograd_jp import nn as nn
from micrograd_jp import ops as ops
from micrograd_jp import optim as optim
from micrograd_jp import saving as saving
from micrograd_jp import testing as testing
from micrograd_jp import training as training
from micrograd_jp import transforms as transforms
from micrograd_jp import viz as viz
from micrograd_jp import xla as xla
from micrograd_jp.compiler import compile as compile
from micrograd_jp.engine import Value as Value
from micrograd_jp.exercises import exercise as exercise
from micrograd_jp.graph import AnomalyError as AnomalyError
from micrograd_jp.graph import detect_anomaly as detect_anomaly
from micrograd_jp.graph import enable_grad as enable_grad
from micrograd_jp.graph import inference_mode as inference_mode
from micrograd_jp.graph import is_grad_enabled as is_grad_enabled
from micrograd_jp.graph import no_grad as no_grad
from micrograd_jp.graph import set_grad_enabled as set_grad_enabled
from micrograd_jp.saving import LoadError as LoadError
from micrograd_jp.saving import load as load
from micrograd_jp.saving import save as save
from micrograd_jp.tensor import Tensor as Tensor
from micrograd_jp.tensor import tensor as tensor
from micrograd_jp.tensor.accelerators import accelerator as accelerator
from micrograd_jp.tensor.accelerators import backends as backends
from micrograd_jp.tensor.accelerators import cuda as cuda
from micrograd_jp.tensor.autocast import autocast as autocast
from micrograd_jp.tensor.devices import device as device
from micrograd_jp.tensor.dtypes import bfloat16 as bfloat16
from micrograd_jp.tensor.dtypes import bool_ as bool
from micrograd_jp.tensor.dtypes import double as double
from micrograd_jp.tensor.dtypes import float_ as float
from micrograd_jp.tensor.dtypes import float16 as float16
from micrograd_jp.tensor.dtypes import float32 as float32
from micrograd_jp.tensor.dtypes import float64 as float64
from micrograd_jp.tensor.dtypes import get_default_dtype as get_default_dtype
from micrograd_jp.tensor.dtypes import half as half
from micrograd_jp.tensor.dtypes import int_ as int
from micrograd_jp.tensor.dtypes import int8 as int8
from micrograd_jp.tensor.dtypes import int16 as int16
from micrograd_jp.tensor.dtypes import int32 as int32
from micrograd_jp.tensor.dtypes import int64 as int64
from micrograd_jp.tensor.dtypes import long as long
from micrograd_jp.tensor.dtypes import set_default_dtype as set_default_dtype
from micrograd_jp.tensor.dtypes import short as short
from micrograd_jp.tensor.dtypes import uint8 as uint8
from micrograd_jp.training import History as History
from micrograd_jp.training import fit as fit
from micrograd_jp.transforms import grad as grad
from micrograd_jp.transforms import hessian as hessian
from micrograd_jp.transforms import hvp as hvp
from micrograd_jp.transforms import jacobian as jacobian
from micrograd_jp.transforms import jvp as jvp
from micrograd_jp.transforms import value_and_grad as value_and_grad
from micrograd_jp.transforms import vjp as vjp
from micrograd_jp.viz import Drawing as Drawing
from micrograd_jp.viz import draw as draw
from micrograd_jp.viz import draw_dot as draw_dot
from micrograd_jp.viz import explain as explain
from micrograd_jp.viz import play as play
from micrograd_jp.xla import jit as jit
from micrograd_jp.functions import *
from micrograd_jp.tensor.creation import *
from micrograd_jp.tensor.generator import *
from micrograd_jp.tensor.random import *
from micrograd_jp.nn.losses.elements import *

__version__: str

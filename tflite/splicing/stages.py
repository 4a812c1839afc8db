"""Cutting a multi-output graph into the stages that run between one exit and the next."""

from collections.abc import Sequence
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.confidences import Confidence
from eexit_tf.costs import decision_macs
from eexit_tf.errors import UserError
from eexit_tf.tflite import schema
from eexit_tf.tflite.costs import graph_macs, graph_params
from eexit_tf.tflite.lineage import Lineage, resolve


@dataclass(frozen=True)
class Stage:
    """What runs between one exit and the next.

    Attributes:
        exit: the output's name in the file.
        operators: positions in the main graph, in the order of execution.
        receives: tensors that come from earlier stages (or are the network's inputs) and that
            this stage or a later one needs.
        scores: the tensor with the exit's class scores.
        macs: multiply-accumulates of the operators.
    """

    exit: str
    operators: tuple[int, ...]
    receives: tuple[int, ...]
    scores: int
    macs: int


@dataclass(frozen=True)
class Stages:
    """A network cut at the chosen exits.

    Attributes:
        stages: in the order of execution.
        decision: multiply-accumulates of one decision.
        params: weights and biases of all stages.
    """

    stages: tuple[Stage, ...]
    decision: int
    params: int

    @property
    def leave_macs(self) -> tuple[int, ...]:
        """What a sample costs, exactly, that leaves at each exit."""
        paid, costs = 0, []
        for position, stage in enumerate(self.stages):
            paid += stage.macs + (self.decision if position < len(self.stages) - 1 else 0)
            costs.append(paid)
        return tuple(costs)


def check_without_branches(model: fb.ModelT) -> None:
    """Raise a `UserError` if the network has branches."""
    if any(schema.op_name(model, op) == "IF" for g in model.subgraphs for op in g.operators):
        raise UserError(
            "expected a network without IF, got one that leaves early by itself; `eexit-tf retune` "
            "changes its thresholds"
        )


def check_static(model: fb.ModelT) -> None:
    """Raise a `UserError` if the network has branches, or graphs for several signatures."""
    check_without_branches(model)
    if len(model.subgraphs) != 1:
        names = ", ".join(schema.text(found.signatureKey) for found in model.signatureDefs)
        raise UserError(f"the file has a graph for each of several signatures: {names}; choose one")


def cut(model: fb.ModelT, exits: Sequence[str], confidence: Confidence = "max") -> Stages:
    """Cut the main graph: stage k holds what exit k needs and no earlier chosen exit does.

    Operators that only left-out exits need are in no stage.

    Args:
        model: a static network without control flow.
        exits: names of outputs, in the order in which they are to be asked.
        confidence: what decisions measure.

    Raises:
        UserError: an unknown name, no name or a name twice, or a graph with branches.
    """
    check_static(model)
    scores = [resolve(model, name) for name in exits]
    if not scores or len(set(scores)) != len(scores):
        raise UserError(f"expected one or more different exits, got {list(exits)}")
    main, lineage = model.subgraphs[0], Lineage(model)
    done: set[int] = set()
    operators = []
    for tensor in scores:
        new = lineage.ancestors(tensor) - done
        done |= new
        operators.append(tuple(sorted(new)))
    stages = []
    for k, (name, tensor) in enumerate(zip(exits, scores, strict=True)):
        later = [main.operators[i] for part in operators[k:] for i in part]
        written = {int(i) for op in later for i in op.outputs}
        read = {int(i) for op in later for i in op.inputs if i >= 0} | set(scores[k:])
        receives = sorted(
            i for i in read - written if not schema.is_constant(model, main.tensors[i])
        )
        macs = graph_macs(model, operators[k])
        stages.append(Stage(name, operators[k], tuple(receives), tensor, macs))
    classes = schema.shape(main.tensors[scores[0]])[-1]
    decision = decision_macs(classes, confidence)
    return Stages(tuple(stages), decision, graph_params(model, sorted(done)))

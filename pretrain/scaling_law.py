"""How large a model to train on how many tokens, by fits of the loss over both.

Reads:  a number of tokens, or of floating point operations
Writes: nothing
Cost:   -
Source: Hoffmann et al. 2022, approach 3 (its equation 10, and table A3's exponents); Besiroglu et al. 2024, who refit
        the same runs and find the former's constants at odds with its other two approaches; 20 tokens per parameter is
        what these two suggest. Training costs 6 operations per parameter and token (Kaplan et al. 2020)

The fits are of decoders from 44 million to 16 billion parameters, all of them counted, each token seen once, and of the
authors' tokenizer and text: losses compare within a fit, not with yours. Far below that size they extrapolate.
"""

from __future__ import annotations

from dataclasses import dataclass

FLOPS_PER_PARAMETER = 6
TOKENS_PER_PARAMETER = 20
MAX_EPOCHS = 4  # up to here repeated tokens are worth about as much as new ones (Muennighoff et al. 2023)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """loss(N, D) = irreducible + a / N ** alpha + b / D ** beta, in nats per token."""

    source: str
    irreducible: float
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, num_parameters: float, num_tokens: float) -> float:
        return self.irreducible + self.a / num_parameters**self.alpha + self.b / num_tokens**self.beta

    def parameters_for_tokens(self, num_tokens: float) -> float:
        """The size at which neither more parameters nor more tokens would be the better buy."""
        return float((self.alpha * self.a / (self.beta * self.b) * num_tokens**self.beta) ** (1 / self.alpha))

    def parameters_for_flops(self, flops: float) -> float:
        """The size of the least loss among all that cost this much."""
        ratio = self.alpha * self.a / (self.beta * self.b)
        power = 1 / (self.alpha + self.beta)
        return float(ratio**power * (flops / FLOPS_PER_PARAMETER) ** (self.beta * power))


HOFFMANN = Fit(source="Hoffmann et al. 2022", irreducible=1.69, a=406.4, b=410.7, alpha=0.34, beta=0.28)
BESIROGLU = Fit(source="Besiroglu et al. 2024", irreducible=1.8172, a=482.01, b=2085.43, alpha=0.3478, beta=0.3658)
FITS = (HOFFMANN, BESIROGLU)


def rule_for_tokens(num_tokens: float) -> float:
    """Parameters, by 20 tokens each."""
    return num_tokens / TOKENS_PER_PARAMETER


def rule_for_flops(flops: float) -> float:
    return float((flops / (FLOPS_PER_PARAMETER * TOKENS_PER_PARAMETER)) ** 0.5)


def batch_tokens(flops: float) -> float:
    """A step's tokens that have served models of this budget well. Source: DeepSeek LLM (Bi et al. 2024, equation 1),
    fitted from 1e17 to 2e19 operations."""
    return float(0.2920 * flops**0.3271)


def learning_rate(flops: float) -> float:
    """The peak, from the same source. For AdamW."""
    return float(0.3118 * flops**-0.1250)

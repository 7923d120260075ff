-- Confirmations are requested with the opt-out; nobody looks for those that are due any more.
DROP INDEX opt_outs_confirmation;

class TransformersEngine:
    def __init__(self, model, tokenizer, identity="x", batch=32):
        self.model, self.tokenizer, self.batch, self.identity = model, tokenizer, batch, identity

    def complete(self, requests):
        import torch
        from teacherlm.records import Completion
        rows = sorted(((k, r, self.tokenizer(r.prompt).input_ids) for k, r in requests), key=lambda x: -len(x[2]))
        for i in range(0, len(rows), self.batch):
            part = rows[i:i + self.batch]
            x = self.tokenizer.pad({"input_ids": [t for *_, t in part]}, padding_side="left", return_tensors="pt")
            with torch.no_grad():
                y = self.model.generate(**x, max_new_tokens=max(r.max_new_tokens for _, r, _ in part), do_sample=False, pad_token_id=0)
            for (k, r, _), out in zip(part, y[:, x.input_ids.shape[1]:]):
                text = self.tokenizer.decode(out[:r.max_new_tokens], skip_special_tokens=True)
                for stop in r.sampling.stop:
                    text = text.split(stop)[0]
                yield Completion(k, text, tokens=len(out))

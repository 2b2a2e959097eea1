// Apart from the page, so that a content security policy need not allow inline scripts. No validator: nothing leaves here.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#reference", deepLinking: true, validatorUrl: null });
